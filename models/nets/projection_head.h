// The multi-layer perceptron behind an encoder: linear layers with ReLU between them. With norms it
// is SimCLR's projection head (arXiv 2002.05709; google-research/simclr,
// model_util.projection_head) and MoCo v3's projector and predictor (arXiv 2104.02057, appendix),
// without them the head of MoCo v1 (one layer) and v2 (two).
#pragma once

#include "models/nets/layers.h"

#include <memory>
#include <vector>

namespace cltrain {

/// What stands behind the last linear layer: nothing, or a norm that is without shift (SimCLR) or
/// without scale and shift (MoCo v3).
enum class LastNorm { kNone, kWithoutShift, kPlain };

struct HeadSettings {
  int64_t layers = 2;
  int64_t hidden = 0;  ///< 0: the width of what comes in
  int64_t out = 128;
  NormSettings norm;
  /// A norm behind every hidden layer; linear layers that a norm follows have no bias.
  bool norms = true;
  LastNorm last = LastNorm::kWithoutShift;
  bool last_bias = true;  ///< of the last linear layer, where no norm follows
};

class ProjectionHead : public torch::nn::Module {
 public:
  ProjectionHead(int64_t features, const HeadSettings& settings);
  at::Tensor forward(const at::Tensor& features);  // [N, features] -> [N, out]

 private:
  std::vector<std::shared_ptr<Linear>> linears_;
  std::vector<std::shared_ptr<Norm>> norms_;  // null where there is none
};

}  // namespace cltrain
