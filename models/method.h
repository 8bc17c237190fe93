// Method: one contrastive method. The trainer asks for its plan, its embeddings, their loss and its
// updates (train/gradient_cache.h puts the middle two together); a method owns no optimiser,
// schedule, logger or loop. All its state is in registered parameters and buffers, so checkpoints
// need no special case.
//
// Every rank holds the same method and makes the same calls in the same order; a rank whose share
// of a batch is empty runs the same graph and the same collectives. Not thread-safe.
#pragma once

#include "data/batch.h"
#include "dist/communicator.h"
#include "dist/loss_plan.h"

#include <functional>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

namespace cltrain {

using NamedTensor = std::pair<std::string, at::Tensor>;

/// Parameters that one optimiser updates.
struct ParameterGroup {
  std::string name;
  std::vector<NamedTensor> parameters;
};

/// The parameters of several modules, as "<module's name>.<parameter's>".
ParameterGroup parameters_of(
    const std::string& group,
    const std::vector<std::pair<std::string, const torch::nn::Module*>>& modules);

/// One forward, backward and update within a step: the groups it trains. Parameters of other groups
/// are frozen meanwhile. Most methods have one phase; adversarial ones several.
struct Phase {
  std::string name;
  std::vector<std::string> groups;
};

/// What a method may know of the step it is in.
struct StepContext {
  const Communicators& communicators;
  uint64_t seed;
  int64_t step;  ///< steps finished before this one
  int64_t epoch;
  std::vector<int64_t> rows;  ///< rows on each rank of the batch, or chunk, that comes with this
  /// Tells the clock which part of the step begins: "forward" until the contrast says "gather" and
  /// "loss".
  std::function<void(const char*)> enter = [](const char*) {};
  int64_t total_steps = 0;     ///< of the whole run, for schedules
  bool last_of_epoch = false;  ///< the next step begins an epoch

  /// Rows on all ranks.
  int64_t global_rows() const { return std::accumulate(rows.begin(), rows.end(), int64_t{0}); }
};

/// This rank's share of the loss (the total is the sum over ranks; see docs/design.md) and values
/// for the metrics that are equal on every rank.
struct LossShare {
  at::Tensor share;
  std::vector<std::pair<std::string, double>> scalars;
  /// Embeddings of this rank's rows by view, [b, D] each, of unit length, without graph: for the
  /// measures of health (train/health.h). Empty where a method has no two views of a row.
  std::vector<at::Tensor> embeddings;
};

/// The sum of the ranks' shares, for the scalars of a loss.
double over_ranks(const at::Tensor& share, const Communicator& control);

/// A module of a method with weights that were trained elsewhere; it is not trained here.
struct BorrowedNetwork {
  std::string option;  ///< that names it: "srma.complement"
  std::string from;    ///< its value: a run's folder, or a file of weights
  torch::nn::Module* module;
  std::vector<std::string> alike;  ///< options that the run it comes from must have in common
};

class Method : public torch::nn::Module {
 public:
  virtual std::vector<ParameterGroup> groups() = 0;
  /// The phases of step `step`, 0 .. total_steps - 1. Of most methods one, of the group "all".
  virtual std::vector<Phase> plan(int64_t step, int64_t total_steps) const;
  /// Embeds the rows of one chunk of the batch (all of it where it is not cut): tensors [b, ...],
  /// a row for each row of the chunk, as many tensors for every chunk. With graph where grad mode
  /// is on; tensors without requires_grad then (keys of a momentum encoder) get no gradient. A
  /// chunk may be encoded twice in a step and must give the same both times: randomness is keyed,
  /// state does not change but for the notes of the norms. Collectives: the same on every rank.
  virtual std::vector<at::Tensor> encode(const Phase& phase, const Batch& chunk,
                                         const StepContext& context) = 0;
  /// The loss over the whole batch, from what encode() gave for its rows: one tensor for each of
  /// encode()'s, [b, ...], the chunks joined. Sees no other embeddings than these, in which
  /// gradients end, and changes no state.
  virtual LossShare contrast(const Phase& phase, const std::vector<at::Tensor>& encoded,
                             const Batch& batch, const StepContext& context) = 0;
  /// After the phase's update: momentum copies, queue pushes, bank writes. Never called for a
  /// refused step.
  virtual void after_phase(const Phase& phase, const Batch& batch, const StepContext& context) {}
  /// After weights were put into the module "encoder" from a file: networks that are copies of it
  /// become so again.
  virtual void weights_replaced() {}
  /// Filled once, where a run begins; checkpoints hold them with the rest.
  virtual std::vector<BorrowedNetwork> borrowed() { return {}; }
  /// Whether a step may leave this parameter of groups() out, by a draw: else the trainer says so.
  virtual bool may_rest(const std::string& parameter) const { return false; }
  /// images [N, 3, H, W], or clips [N, 3, T, H, W], or windows of items [N, L] int64 ->
  /// features [N, F] for evaluation; call in evaluation mode, without graph.
  virtual at::Tensor embed(const at::Tensor& images) = 0;
  /// Whether it trains a classifier on labels, which evaluation then asks.
  virtual bool classifies() const { return false; }
  /// features [N, F] of embed(), any type and device -> scores of the classes, logits [N, C]; an
  /// undefined tensor where the method has no classifier. Affine in the features: the scores of
  /// their mean are the mean of their scores. As embed(), in evaluation mode and without graph.
  virtual at::Tensor classify(const at::Tensor& features) { return {}; }
  /// What the loss of a step will need with loss.* as `settings` says: for `cltrain plan`.
  virtual LossPlan plan_loss(const LossShape& shape, const ContrastSettings& settings) const = 0;
  /// Negatives that each anchor of a full batch is compared with.
  virtual int64_t negatives_per_anchor(int64_t global_batch) const = 0;
};

}  // namespace cltrain
