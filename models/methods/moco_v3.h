// MoCo v3: Chen, Xie and He, "An Empirical Study of Training Self-Supervised Vision Transformers",
// arXiv 2104.02057, algorithm 1. No queue: the keys of the whole global batch are the negatives. A
// predictor behind the projector on the query's side only; both views are queries and keys.
#pragma once

#include "dist/contrast.h"
#include "models/method.h"
#include "models/methods/momentum_pair.h"
#include "models/methods/parts.h"

#include <memory>

namespace cltrain {

class MocoV3 : public Method {
 public:
  explicit MocoV3(const MethodParts& parts);

  std::vector<ParameterGroup> groups() override;
  /// Unit queries of view 0 and 1, keys of view 0 and 1, [b, D] each. Keys have no graph.
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
  const MocoV3Options options_;
  const ContrastSettings contrast_;
  MomentumPair networks_;
  std::shared_ptr<ProjectionHead> predictor_;
};

}  // namespace cltrain
