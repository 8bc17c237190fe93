// SRMA: Liu et al., "Improving Contrastive Learning with Model Augmentation", arXiv 2203.15508.
// Views differ by the network they pass as well: neuron masking (dropout), layer dropping, and
// encoder complementing, each switchable alone.
//
//   L = L_next + weight * (NT-Xent(v0, v1) + c * (NT-Xent(v0, h) + NT-Xent(v1, h)))
//
// h is what an encoder trained before says of the history as it is, without gradient.
#pragma once

#include "models/methods/history_contrast.h"
#include "models/nets/augmented_layers.h"

namespace cltrain {

class Srma : public HistoryContrast {
 public:
  explicit Srma(const MethodParts& parts);

  /// As HistoryContrast's, then h [b, F] where there is a complement.
  std::vector<at::Tensor> encode(const Phase& phase, const Batch& chunk,
                                 const StepContext& context) override;
  LossShare contrast(const Phase& phase, const std::vector<at::Tensor>& encoded, const Batch& batch,
                     const StepContext& context) override;
  LossPlan plan_loss(const LossShape& shape, const ContrastSettings& settings) const override;
  at::Tensor embed(const at::Tensor& items) override;
  std::vector<BorrowedNetwork> borrowed() override;
  bool may_rest(const std::string& parameter) const override {
    return parameter.starts_with("encoder.item_encoder.aug_layer.");
  }

 private:
  at::Tensor next_item_outputs(const TokenRows& rows, const Batch& chunk,
                               const StepContext& context) override;
  at::Tensor view_outputs(const TokenRows& rows, const Batch& chunk, const StepContext& context,
                          uint32_t view) override;
  /// The layers that a training pass keeps.
  std::vector<int64_t> kept(const StepContext& context, uint32_t view) const;

  const SrmaOptions options_of_srma_;
  std::shared_ptr<AugmentedLayers> layers_;
  // Null without srma.complement.
  std::shared_ptr<SequenceEncoder> complement_;
  std::shared_ptr<AugmentedLayers> complement_layers_;
};

}  // namespace cltrain
