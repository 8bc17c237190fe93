// Encoder: images, or clips of video, to features. One level of inheritance below it.
#pragma once

#include <torch/nn/module.h>

namespace cltrain {

class Encoder : public torch::nn::Module {
 public:
  /// images [N, 3, H, W], or clips [N, 3, T, H, W] of an encoder for video, -> features
  /// [N, feature_dim()]. N = 0 is allowed and runs the same collectives.
  virtual at::Tensor forward(const at::Tensor& images) = 0;
  virtual int64_t feature_dim() const = 0;
};

}  // namespace cltrain
