// The layers that networks are made of: thin torch modules with torchvision's parameter names,
// keyed initial weights, and batch norm whose running statistics wait for the update.
//
// Modules are built on the CPU in float32; move_to() takes them elsewhere. Not thread-safe.
#pragma once

#include "dist/communicator.h"
#include "dist/sync_batch_norm.h"

#include <array>
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
  const Communicator* communicator = nullptr;  ///< of "sync"; outlives the networks
};

/// 2-D convolution with square kernels: weight [out, in, k, k], bias [out] or none.
/// Under bfloat16 autocast on the CPU x is made channels-last, as oneDNN has it, and so the result
/// is.
class Conv2d : public torch::nn::Module {
 public:
  Conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1, int64_t padding = 0,
         int64_t dilation = 1, bool with_bias = false);
  at::Tensor forward(const at::Tensor& x);  // [N, in, H, W] -> [N, out, H', W']
  at::Tensor weight, bias;

 private:
  int64_t stride_, padding_, dilation_;
};

/// Extents over time, height and width.
using Extents3d = std::array<int64_t, 3>;

/// 3-D convolution without bias: weight [out, in, kt, kh, kw]; padding with zeros.
class Conv3d : public torch::nn::Module {
 public:
  Conv3d(int64_t in, int64_t out, const Extents3d& kernel, const Extents3d& stride,
         const Extents3d& padding);
  at::Tensor forward(const at::Tensor& x);  // [N, in, T, H, W] -> [N, out, T', H', W']
  at::Tensor weight;

 private:
  Extents3d stride_, padding_;
};

/// y = x W^T + b: weight [out, in], bias [out] or none.
class Linear : public torch::nn::Module {
 public:
  Linear(int64_t in, int64_t out, bool with_bias = true);
  at::Tensor forward(const at::Tensor& x);  // [..., in] -> [..., out]
  at::Tensor weight, bias;
};

/// Normalises the last dimension of each position by itself: weight and bias [width].
class LayerNorm : public torch::nn::Module {
 public:
  LayerNorm(int64_t width, double epsilon);
  at::Tensor forward(const at::Tensor& x);  // [..., width] -> the same
  at::Tensor weight, bias;

 private:
  double epsilon_;
};

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
  void commit_statistics();
  void discard_statistics() { pending_.clear(); }

  at::Tensor weight, bias, running_mean, running_var, num_batches_tracked;

 private:
  bool is_batch_norm() const { return settings_.kind != "group"; }
  bool trains_in_bfloat16(const at::Tensor& x) const;
  at::Tensor of_batch(const at::Tensor& x, const at::Tensor& addend, bool relu);
  NormSettings settings_;
  int64_t groups_;
  std::vector<BatchStatistics> pending_;
};

/// Moves every parameter and buffer below `root` to `device`; floating-point ones become `dtype`
/// (Module::to would turn counters into floats).
void move_to(torch::nn::Module& root, c10::Device device, at::ScalarType dtype);

/// Applies commit or discard to every Norm below `root`.
void commit_statistics(torch::nn::Module& root);
void discard_statistics(torch::nn::Module& root);

/// Gives every parameter below `root` its keyed initial weights, as torchvision's ResNet does:
/// convolutions N(0, 2 / (out * values of a kernel)) (He, fan-out) and their biases 0, linear
/// layers U(+-1/sqrt(in)), norms 1 and 0. Names, and so values, are those of named_parameters()
/// behind `prefix`.
void initialize(torch::nn::Module& root, uint64_t seed, const std::string& prefix = "");

}  // namespace cltrain
