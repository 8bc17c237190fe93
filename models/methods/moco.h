// MoCo v1: He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", arXiv
// 1911.05722; v2: Chen et al., "Improved Baselines with Momentum Contrastive Learning", arXiv
// 2003.04297. A query attracts the key of the other view, computed by a network that follows
// slowly, and repels a queue of keys of earlier batches. v2 differs in its head (two layers) and
// temperature.
#pragma once

#include "dist/contrast.h"
#include "dist/sharded_queue.h"
#include "models/method.h"
#include "models/methods/momentum_pair.h"
#include "models/methods/parts.h"

#include <memory>

namespace cltrain {

enum class MocoVersion { kV1, kV2 };

class Moco : public Method {
 public:
  Moco(const MethodParts& parts, MocoVersion version);

  std::vector<ParameterGroup> groups() override;
  /// Unit queries of view 0 and keys of view 1, [b, D] each; where the loss is symmetric also
  /// queries of view 1 and keys of view 0. Keys have no graph.
  std::vector<at::Tensor> encode(const Phase& phase, const Batch& chunk,
                                 const StepContext& context) override;
  LossShare contrast(const Phase& phase, const std::vector<at::Tensor>& encoded, const Batch& batch,
                     const StepContext& context) override;
  void after_phase(const Phase& phase, const Batch& batch, const StepContext& context) override;
  void weights_replaced() override;
  at::Tensor embed(const at::Tensor& images) override;
  LossPlan plan_loss(const LossShape& shape, const ContrastSettings& settings) const override;
  int64_t negatives_per_anchor(int64_t global_batch) const override;

 private:
  const MocoOptions options_;
  const ContrastSettings contrast_;
  const double temperature_;
  MomentumPair networks_;
  std::shared_ptr<ShardedQueue> queue_;
  std::vector<at::Tensor> new_keys_;  // of the step, pushed once its update is made
};

}  // namespace cltrain
