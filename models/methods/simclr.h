// SimCLR: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
// arXiv 2002.05709. Two views of an image attract, all other images of the global batch repel.
#pragma once

#include "dist/contrast.h"
#include "models/method.h"
#include "models/nets/encoder.h"
#include "models/nets/projection_head.h"
#include "models/options.h"

#include <memory>

namespace cltrain {

class Simclr : public Method {
 public:
  Simclr(std::shared_ptr<Encoder> encoder, const HeadSettings& head, const SimclrOptions& options,
         uint64_t seed, const ContrastSettings& contrast = {});

  std::vector<ParameterGroup> groups() override;
  /// Unit embeddings of both views, [b, D] each.
  std::vector<at::Tensor> encode(const Phase& phase, const Batch& chunk,
                                 const StepContext& context) override;
  LossShare contrast(const Phase& phase, const std::vector<at::Tensor>& encoded, const Batch& batch,
                     const StepContext& context) override;
  at::Tensor embed(const at::Tensor& images) override;
  LossPlan plan_loss(const LossShape& shape, const ContrastSettings& settings) const override;
  int64_t negatives_per_anchor(int64_t global_batch) const override;

 private:
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<ProjectionHead> head_;
  ContrastSettings contrast_;
  at::Tensor log_scale_;  // scalar: log(1 / temperature); a parameter when it is learned
};

}  // namespace cltrain
