// Encoder: images to features. One level of inheritance below it.
#pragma once

#include <torch/nn/module.h>

namespace cltrain {

class Encoder : public torch::nn::Module {
 public:
  /// images [N, 3, H, W] -> features [N, feature_dim()]. N = 0 is allowed and runs the same
  /// collectives.
  virtual at::Tensor forward(const at::Tensor& images) = 0;
  virtual int64_t feature_dim() const = 0;
};

}  // namespace cltrain
