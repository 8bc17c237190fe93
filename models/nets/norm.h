// Batch and group norm of networks: which rows are normalised together, and running statistics that
// wait for the update.
//
// Modules are built on the CPU in float32. Not thread-safe; a pass in training mode is collective
// with "sync" statistics.
#pragma once

#include "dist/communicator.h"
#include "dist/sync_batch_norm.h"

#include <string>
#include <vector>

#include <torch/nn/module.h>

namespace cltrain {

/// How networks are normalised, and over which rows.
struct NormSettings {
  std::string kind = "sync";  ///< "sync" (global batch), "local" (this rank's rows), "group"
  int64_t groups = 32;        ///< most channel groups of group norm; see group_count()
  double epsilon = 1e-5;
  double momentum = 0.1;  ///< weight of the newest batch in the running statistics
  /// Of "sync": the global batch is normalised in so many slices, each by itself, as many small
  /// devices would (MoCo's CIFAR recipe imitates 8). A multiple of the ranks, so that no slice
  /// crosses them and nothing travels; the result does not depend on their number.
  int64_t splits = 1;
  const Communicator* communicator = nullptr;  ///< of "sync"; outlives the networks
};

/// Whether batch norm sees a part of the global batch only.
bool norms_see_parts(const NormSettings& settings);

/// Groups of a group norm over `channels`: the largest divisor of them that is at most `wanted` and
/// leaves at least 8 channels a group (one group where there are fewer).
int64_t group_count(int64_t channels, int64_t wanted);

/// Batch or group norm of [N, C], [N, C, H, W] or [N, C, T, H, W] with torch's names: weight, bias,
/// and for batch norm running_mean, running_var, num_batches_tracked. In training mode a forward
/// pass only notes its statistics; commit_statistics() moves them into the running ones, so that a
/// refused step leaves no trace.
class Norm : public torch::nn::Module {
 public:
  Norm(int64_t channels, const NormSettings& settings, bool affine_weight = true,
       bool affine_bias = true);
  at::Tensor forward(const at::Tensor& x);
  /// relu(forward(x) + addend), addend of x's shape or undefined; for bfloat16 images on the CPU in
  /// fewer passes over memory.
  at::Tensor forward_relu(const at::Tensor& x, const at::Tensor& addend = {});
  void discard_statistics() { pending_.clear(); }
  /// With splits: the global number of rows of the passes to come, which hold them once for each
  /// view. Nothing otherwise.
  void expect_rows(int64_t global_rows);

  /// What a pass has noted, for commit_statistics().
  struct Noted {
    BatchStatistics sum;  ///< over this rank's slices
    int64_t slices = 1;
  };
  std::vector<Noted>& pending() { return pending_; }
  void apply(const BatchStatistics& batch);
  const NormSettings& settings() const { return settings_; }

  at::Tensor weight, bias, running_mean, running_var, num_batches_tracked;

 private:
  bool is_batch_norm() const { return settings_.kind != "group"; }
  bool trains_in_bfloat16(const at::Tensor& x) const;
  at::Tensor of_batch(const at::Tensor& x, const at::Tensor& addend, bool relu);
  at::Tensor of_slices(const at::Tensor& x, const at::Tensor& addend, bool relu);
  at::Tensor normalized(const at::Tensor& x, const at::Tensor& addend, bool relu,
                        const Communicator* communicator, BatchStatistics& statistics);
  NormSettings settings_;
  int64_t groups_;
  std::vector<int64_t> slices_;  // rows of this rank's slices of a view
  std::vector<Noted> pending_;
};

/// Moves what the Norms below `root` have noted into their running statistics. Collective where
/// norms work in slices: the running statistics are of the mean over the slices of all ranks.
void commit_statistics(torch::nn::Module& root);
/// Forgets what they have noted.
void discard_statistics(torch::nn::Module& root);
/// Norm::expect_rows of every Norm below `root`.
void expect_rows(torch::nn::Module& root, int64_t global_rows);

}  // namespace cltrain
