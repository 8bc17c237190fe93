// CoSeRec: Liu et al., "Contrastive Self-supervised Sequential Recommendation with Robust
// Augmentation", arXiv 2108.06479. Views besides by similar items: one replaces an item, or comes
// before it; short histories draw from other operations than long ones.
//
// Similarity is counted in the training histories once; from coserec.online_from on the nearest
// items by their embeddings count too, looked up anew at the end of each epoch and kept in buffers,
// so that a run goes on with what it had.
#pragma once

#include "data/sequences/item_similarity.h"
#include "models/methods/history_contrast.h"

namespace cltrain {

class Coserec : public HistoryContrast {
 public:
  explicit Coserec(const MethodParts& parts);

  std::vector<at::Tensor> encode(const Phase& phase, const Batch& chunk,
                                 const StepContext& context) override;
  void after_phase(const Phase& phase, const Batch& batch, const StepContext& context) override;

 private:
  std::vector<int32_t> augmented(std::span<const int32_t> history, PhiloxKey key, int64_t user,
                                 uint32_t view) const override;
  /// The buffers one behind the other, on the CPU.
  at::Tensor online() const;

  const int64_t online_from_;
  SequenceAugmentSettings similar_;  ///< with what similar items need
  Neighbours counted_;
  Neighbours used_;          ///< what views are made with: counted, or the larger of both
  at::Tensor online_best_;   ///< buffer [items + 2] int64; zeros: not looked up yet
  at::Tensor online_score_;  ///< buffer [items + 2]
  at::Tensor online_range_;  ///< buffer [2]: smallest and largest product of any two rows
  at::Tensor seen_;          ///< the online() that is in used_
};

}  // namespace cltrain
