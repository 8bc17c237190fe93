// SRMA's layer dropping (Liu et al., arXiv 2203.15508, section 3.2): K extra layers behind the
// encoder, of which a training pass skips some; evaluation runs all. The draw is a pure function of
// its key, so ranks, micro-batches and restarts agree on it without talking.
//
// Parameters of layer N are N.*, under the name that the owner registers this module by,
// `augmented_layers`; below that, as the encoder's layers name theirs:
//   single  dense.*, LayerNorm.*                        LN(x + drop(gelu(dense(x))))
//   inter   dense_1.*, dense_2.*, LayerNorm.*           the feed-forward block
//   sasrec  attention.*, intermediate.*                 a whole transformer layer
// Not thread-safe.
#pragma once

#include "models/nets/sequence_layers.h"

#include <vector>

#include <torch/nn/module.h>

namespace cltrain {

enum class AugmentedLayerType { kSingle, kInter, kSasrec };

struct AugmentedLayerSettings {
  AugmentedLayerType type = AugmentedLayerType::kSingle;
  int64_t layers = 3;  ///< K, 0 and above
  SequenceLayerSettings layer;
  uint32_t first_site = 0;  ///< SequenceEncoder::sites() of the encoder before
};

/// How many layers a training pass drops.
struct LayerDrop {
  int64_t dropped = 1;    ///< m in [0, K], every choice of m layers equally likely
  double threshold = -1;  ///< in [0, 1]: instead, each layer is kept where a uniform number is
                          ///< below it; negative: not used
};

/// The layers that run, ascending. key = random_key(seed, Purpose::kLayerDrop, step); view = 0 for
/// a draw that the views of a step share, else the view's number.
std::vector<int64_t> kept_layers(PhiloxKey key, int64_t layers, const LayerDrop& drop,
                                 uint32_t view = 0);
/// 0 .. layers - 1, as at evaluation.
std::vector<int64_t> all_layers(int64_t layers);

class AugmentedLayers : public torch::nn::Module {
 public:
  /// Weights are initialised by initialize_sequence_layers(). Throws on settings out of range.
  explicit AugmentedLayers(const AugmentedLayerSettings& settings);

  /// x [T, dim] -> the same, through the layers `kept` in their order. A layer's dropouts have the
  /// same sites whichever layers are kept. Layers not kept get no gradient.
  at::Tensor forward(at::Tensor x, const TokenRows& rows, const std::vector<int64_t>& kept,
                     const DropoutDraws& draws);

  const AugmentedLayerSettings& settings() const { return settings_; }

 private:
  AugmentedLayerSettings settings_;
  std::shared_ptr<torch::nn::Module> stack_;  ///< of the layers, by number
};

}  // namespace cltrain
