// Click-through models whose network is described by a file: EasyRec's RankModel of components, of
// which its CL4SRec is one (easyrec.readthedocs.io, "CL4SRec"; the contrast is that of Xie et al.,
// arXiv 2010.14395, on embeddings).
//
//   L = mean over the global batch of the binary cross-entropy of the click
//       + sum over AuxiliaryLoss blocks of loss_weight * L_aux
//       + l2_regularization * 1/2 |dense weights|^2 + embedding_regularization * 1/2 |embeddings|^2
//
//   nce_loss   NT-Xent of the two views' dot products over the global batch: global_nt_xent
//   info_nce   one direction, negatives of the other view alone: global_one_way
//   l2_loss    mean over the global batch of the squared distance
//
// Samples and batches are those of data/clicks/click_table.h.
#pragma once

#include "dist/contrast.h"
#include "models/backbone/backbone.h"
#include "models/method.h"
#include "models/methods/parts.h"

#include <memory>

namespace cltrain {

class ClickThrough : public Method {
 public:
  /// Throws ConfigError for mistakes in the model's file.
  explicit ClickThrough(const MethodParts& parts);

  std::vector<ParameterGroup> groups() override;
  /// Logits [b], the penalty of the weights in each row [b], then both sides of each loss [b, F].
  std::vector<at::Tensor> encode(const Phase& phase, const Batch& chunk,
                                 const StepContext& context) override;
  LossShare contrast(const Phase& phase, const std::vector<at::Tensor>& encoded, const Batch& batch,
                     const StepContext& context) override;
  /// features [N, F] int64 -> what the last layer sees, [N, feature_dim()].
  at::Tensor embed(const at::Tensor& features) override;
  /// -> the logit of a click, [N, 1].
  at::Tensor classify(const at::Tensor& features) override;
  LossPlan plan_loss(const LossShape& shape, const ContrastSettings& settings) const override;
  int64_t negatives_per_anchor(int64_t global_batch) const override;

 private:
  at::Tensor penalty() const;
  at::Tensor auxiliary_share(const AuxiliaryLossSettings& loss, const at::Tensor& left,
                             const at::Tensor& right, const StepContext& context) const;

  const EasyrecOptions options_;
  const ContrastSettings settings_;
  std::shared_ptr<Backbone> backbone_;
  std::shared_ptr<Linear> output_;
};

}  // namespace cltrain
