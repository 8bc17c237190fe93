// SASRec: Kang and McAuley, "Self-Attentive Sequential Recommendation", arXiv 1808.09781, as the
// code of S3-Rec and SRMA has it; and what the methods with a contrast beside it stand on.
//
// The encoder gives an output for each item of a history; the dot product with an item's embedding
// is that item's score for what comes next. The loss is the binary cross-entropy of the item that
// did come, against one that the user never had (data/sequences/sequence_rows.h):
//
//   -log sigmoid(h . e_next) - log sigmoid(-h . e_other),   mean over the targets of the global
//   batch
#pragma once

#include "models/method.h"
#include "models/methods/parts.h"
#include "models/nets/sequence_encoder.h"

#include <memory>

namespace cltrain {

class SequenceRecommender : public Method {
 public:
  explicit SequenceRecommender(const MethodParts& parts);

  std::vector<ParameterGroup> groups() override;
  /// One tensor: the losses of each row's targets, added up, [b].
  std::vector<at::Tensor> encode(const Phase& phase, const Batch& chunk,
                                 const StepContext& context) override;
  LossShare contrast(const Phase& phase, const std::vector<at::Tensor>& encoded, const Batch& batch,
                     const StepContext& context) override;
  /// items [N, L] int64, the last L of a history with 0 to the left -> the output of the last slot,
  /// [N, D].
  at::Tensor embed(const at::Tensor& items) override;
  LossPlan plan_loss(const LossShape& shape, const ContrastSettings& settings) const override;
  int64_t negatives_per_anchor(int64_t global_batch) const override;

  /// [items + 2, D]: of padding, the items, and the reserved id.
  at::Tensor item_table() const { return encoder_->item_table(); }

 protected:
  /// Views of a sample for draws of dropout: 0 and 1 are the augmented ones.
  static constexpr uint32_t kNextItemPass = 2, kComplementPass = 3;

  DropoutDraws draws(const Batch& chunk, const StepContext& context, uint32_t pass) const;
  /// The next-item losses of the rows, added up in each, [b].
  at::Tensor next_item_losses(const Batch& chunk, const StepContext& context);
  /// What the scores of the next items are made of, [T, D].
  virtual at::Tensor next_item_outputs(const TokenRows& rows, const Batch& chunk,
                                       const StepContext& context);
  /// `losses` over the number of targets of the global batch: this rank's share, float64.
  static at::Tensor mean_over_targets(const at::Tensor& losses, const Batch& batch,
                                      const StepContext& context);

  std::shared_ptr<SequenceEncoder> encoder_;
  uint64_t seed_;
};

}  // namespace cltrain
