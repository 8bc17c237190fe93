// SeqAugment: a view of a sequence of embeddings, as EasyRec's component makes them (after Xie et
// al., arXiv 2010.14395, section 3.2, who augment items). Each row of each call gets one operation,
// drawn uniformly from those that are on; n is the row's length:
//
//   crop     keeps a run of floor(n * crop_rate) steps, at least one        off where crop_rate >=
//   1 mask     floor(n * mask_rate) steps become one learned vector           off at 0 reorder
//   shuffles a run of floor(n * reorder_rate) steps                off at 0
//
// In evaluation mode, and of rows without steps, it is the identity. The target item that stands
// beside the sequence is not handed on.
#pragma once

#include "models/backbone/layer.h"

namespace cltrain {

struct SeqAugmentSettings {
  double mask_rate = 0.6, crop_rate = 0.2, reorder_rate = 0.6;
};

/// What becomes of one row: for each slot the step that comes there, kMaskStep or kNoStep.
inline constexpr int64_t kMaskStep = -1, kNoStep = -2;
/// Writes out [slots] for a row of `length` <= slots steps; returns the new length. Pure.
int64_t augment_steps(const SeqAugmentSettings& settings, int64_t length, KeyedStream& draw,
                      int64_t slots, int64_t* out);

class SeqAugment : public BlockLayer {
 public:
  SeqAugment(const YamlNode& options, Mistakes& mistakes);

  void build(const std::vector<BlockValue>& inputs) override;
  BlockValue forward(const std::vector<BlockValue>& inputs, const LayerCall& call) override;
  void initialize_weights(uint64_t seed, const std::string& prefix) override;
  uint32_t sites() const override { return 1; }

 private:
  SeqAugmentSettings settings_;
  at::Tensor mask_;  // [C], learned; undefined where nothing is masked
};

}  // namespace cltrain
