#include "models/nets/projection_head.h"

#include <ATen/ops/relu.h>

namespace cltrain {

ProjectionHead::ProjectionHead(int64_t features, const HeadSettings& settings) {
  const int64_t hidden = settings.hidden > 0 ? settings.hidden : features;
  int64_t in = features;
  for (int64_t layer = 1; layer <= settings.layers; ++layer) {
    const bool last = layer == settings.layers;
    const int64_t out = last ? settings.out : hidden;
    const bool norm = last ? settings.last != LastNorm::kNone : settings.norms;
    const std::string suffix = std::to_string(layer);
    const bool bias = !norm && (!last || settings.last_bias);
    linears_.push_back(
        register_module("linear" + suffix, std::make_shared<Linear>(in, out, /*with_bias=*/bias)));
    norms_.push_back(nullptr);
    if (norm)
      norms_.back() = register_module(
          "bn" + suffix,
          std::make_shared<Norm>(out, settings.norm,
                                 /*affine_weight=*/!last || settings.last != LastNorm::kPlain,
                                 /*affine_bias=*/!last));
    in = out;
  }
}

at::Tensor ProjectionHead::forward(const at::Tensor& features) {
  at::Tensor x = features;
  for (size_t i = 0; i < linears_.size(); ++i) {
    x = linears_[i]->forward(x);
    if (norms_[i]) x = norms_[i]->forward(x);
    if (i + 1 < linears_.size()) x = at::relu(x);
  }
  return x;
}

}  // namespace cltrain
