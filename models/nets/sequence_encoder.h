// SASRec's encoder as S3-Rec and SRMA have it (Zhou et al., "S3-Rec", CIKM 2020, released code; Liu
// et al., "Improving Contrastive Learning with Model Augmentation", arXiv 2203.15508, section 3):
// item and position embeddings, a norm, dropout, and post-norm transformer layers under a causal
// mask. The score of an item is <output at the last slot, its row of item_table()>.
//
// It works on tokens (ops/token_rows.h): ragged rows where nobody reads the front padding, whole
// rows where its outputs are wanted (SRMA's flattened vector); both give the same numbers where
// both have a token. Parameters are named as that family's state dicts name them:
//   item_embeddings.weight, position_embeddings.weight, LayerNorm.*,
//   item_encoder.layer.N.attention.{query,key,value,dense,LayerNorm}.*,
//   item_encoder.layer.N.intermediate.{dense_1,dense_2,LayerNorm}.*
//
// Computed in the weights' type, under autocast too: the contrast of raw dot products needs it.
// Called on each rank for its own rows; a rank without rows passes B = 0. Not thread-safe.
#pragma once

#include "models/nets/sequence_layers.h"

#include <memory>
#include <vector>

#include <torch/nn/module.h>

namespace cltrain {

struct SequenceEncoderSettings {
  int64_t items = 0;        ///< the largest item id; the table has items + 2 rows: 0 is padding,
                            ///< items + 1 is reserved
  int64_t max_length = 50;  ///< L
  int64_t layers = 2;
  SequenceLayerSettings layer;
};

class SequenceEncoder : public torch::nn::Module {
 public:
  /// Weights are initialised by initialize_sequence_layers(). Throws on settings out of range.
  explicit SequenceEncoder(const SequenceEncoderSettings& settings);

  /// rows.length must be max_length -> [T, dim].
  at::Tensor forward(const TokenRows& rows, const DropoutDraws& draws);

  /// [items + 2, dim], the parameter. forward() gives row 0 (padding) no gradient.
  const at::Tensor& item_table() const { return items_->weight; }
  const SequenceEncoderSettings& settings() const { return settings_; }
  /// Sites 0 .. sites() - 1 are this network's dropouts; what follows it begins there.
  uint32_t sites() const;

 private:
  SequenceEncoderSettings settings_;
  std::shared_ptr<EmbeddingTable> items_, positions_;
  std::shared_ptr<LayerNorm> norm_;
  std::vector<std::shared_ptr<SequenceLayer>> layers_;
};

}  // namespace cltrain
