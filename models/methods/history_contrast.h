// The contrast of two augmented views of a history beside the loss of the next items: what srma,
// cl4srec and coserec share. By itself it is CL4SRec: Xie et al., "Contrastive Learning for
// Sequential Recommendation", arXiv 2010.14395.
//
//   L = L_next + weight * NT-Xent(v0, v1)
//
// NT-Xent is that of SimCLR over the global batch, of dot products unless <method>.normalize. Views
// are made here and not by the loader, as the neighbours that CoSeRec inserts follow the weights.
#pragma once

#include "data/sequences/sequence_augment.h"
#include "dist/contrast.h"
#include "models/methods/sequence_recommender.h"

namespace cltrain {

/// The operations of these names, in order.
std::vector<SequenceOperation> operations_named(const std::vector<std::string>& names);

class HistoryContrast : public SequenceRecommender {
 public:
  /// `contrast` outlives the method's construction only.
  HistoryContrast(const MethodParts& parts, const HistoryContrastOptions& contrast);

  /// The next-item losses [b], then both views' vectors [b, F].
  std::vector<at::Tensor> encode(const Phase& phase, const Batch& chunk,
                                 const StepContext& context) override;
  LossShare contrast(const Phase& phase, const std::vector<at::Tensor>& encoded, const Batch& batch,
                     const StepContext& context) override;
  LossPlan plan_loss(const LossShape& shape, const ContrastSettings& settings) const override;
  int64_t negatives_per_anchor(int64_t global_batch) const override;

 protected:
  /// How a view is made of a history; coserec knows more ways.
  virtual std::vector<int32_t> augmented(std::span<const int32_t> history, PhiloxKey key,
                                         int64_t user, uint32_t view) const;
  /// The outputs of a view's tokens, [T, D].
  virtual at::Tensor view_outputs(const TokenRows& rows, const Batch& chunk,
                                  const StepContext& context, uint32_t view);

  /// Every slot has a token where the vector is made of all of them.
  TokenRows rows_of(const at::Tensor& items) const;
  /// What of a view is compared, [b, F].
  at::Tensor vector_of(const at::Tensor& outputs, const TokenRows& rows) const;
  /// This rank's share of NT-Xent, float64.
  at::Tensor pair_loss(const at::Tensor& left, const at::Tensor& right,
                       const StepContext& context) const;

  const HistoryContrastOptions options_;
  const SequenceAugmentSettings augment_;
  const ContrastSettings settings_;

 private:
  at::Tensor view_items(const Batch& chunk, const StepContext& context, uint32_t view) const;
};

}  // namespace cltrain
