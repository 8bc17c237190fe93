// BST, a transformer over a sequence and a target item, as EasyRec's component of this name: Chen
// et al., "Behavior Sequence Transformer", arXiv 1905.06874, with the encoder of BERT (post-norm).
//
//   x = relu(linear(steps)) where their width is not hidden_size; the target item likewise, with
//       weights of its own, before the first slot (head) or behind the last (tail)
//   x = drop(LN(x + position))
//   each layer: x = LN(x + drop(dense(attention(x)))), x = LN(x + drop(out(act(inner(x)))))
//
// Keys have no bias, which would change nothing. Attention looks in both directions, at the steps
// that the length counts and at the target; of a row with neither, at all slots alike. Positions
// are slots; with reserve_target_position the slot of the target stays free where there is none
// (views of SeqAugment), so that steps have the same position with and without it. The output is
// every slot, or the first one ("head", "ignore") or the last one ("tail") alone.
#pragma once

#include "models/backbone/layer.h"

namespace cltrain {

struct BstSettings {
  int64_t hidden_size = 64, num_hidden_layers = 2, num_attention_heads = 2, intermediate_size = 128;
  std::string hidden_act = "gelu";
  double hidden_dropout_prob = 0.1, attention_probs_dropout_prob = 0.1;
  int64_t max_position_embeddings = 512;
  bool use_position_embeddings = true;
  double initializer_range = 0.02;
  bool output_all_token_embeddings = true;
  std::string target_item_position = "head";
  bool reserve_target_position = true;
};

class BstEncoderLayer;
class Linear;
class LayerNorm;

class Bst : public BlockLayer {
 public:
  Bst(const YamlNode& options, Mistakes& mistakes);

  void build(const std::vector<BlockValue>& inputs) override;
  BlockValue forward(const std::vector<BlockValue>& inputs, const LayerCall& call) override;
  void initialize_weights(uint64_t seed, const std::string& prefix) override;
  uint32_t sites() const override;

 private:
  void build_layers();
  bool takes_target(const BlockValue& input) const;
  bool at_head() const { return settings_.target_item_position == "head"; }
  at::Tensor embedded(const BlockValue& input, const LayerCall& call) const;
  at::Tensor attended(const BlockValue& input) const;

  BstSettings settings_;
  std::shared_ptr<Linear> steps_, target_;  // none where widths agree
  at::Tensor positions_;
  int64_t width_ = 0;  // of the steps that it was built for
  std::shared_ptr<LayerNorm> norm_;
  std::vector<std::shared_ptr<BstEncoderLayer>> layers_;
};

}  // namespace cltrain
