#include "models/nets/projection_head.h"

#include <ATen/ops/relu.h>

namespace cltrain {

ProjectionHead::ProjectionHead(int64_t features, const HeadSettings& settings) {
  const int64_t hidden = settings.hidden > 0 ? settings.hidden : features;
  int64_t in = features;
  for (int64_t layer = 1; layer <= settings.layers; ++layer) {
    const bool last = layer == settings.layers;
    const int64_t out = last ? settings.out : hidden;
    const std::string suffix = std::to_string(layer);
    linears_.push_back(
        register_module("linear" + suffix, std::make_shared<Linear>(in, out, /*with_bias=*/false)));
    norms_.push_back(register_module(
        "bn" + suffix, std::make_shared<Norm>(out, settings.norm, true, /*affine_bias=*/!last)));
    in = out;
  }
}

at::Tensor ProjectionHead::forward(const at::Tensor& features) {
  at::Tensor x = features;
  for (size_t i = 0; i < linears_.size(); ++i) {
    x = norms_[i]->forward(linears_[i]->forward(x));
    if (i + 1 < linears_.size()) x = at::relu(x);
  }
  return x;
}

}  // namespace cltrain
