#include "models/nets/augmented_layers.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>

#include <c10/util/Exception.h>

namespace cltrain {
namespace {

// LN(x + drop(gelu(dense(x)))).
class SingleLayer : public torch::nn::Module {
 public:
  explicit SingleLayer(const SequenceLayerSettings& settings)
      : dropout_(settings.hidden_dropout),
        dense_(register_module("dense", std::make_shared<Linear>(settings.dim, settings.dim))),
        norm_(register_module("LayerNorm",
                              std::make_shared<LayerNorm>(settings.dim, kSequenceNormEpsilon))) {}

  at::Tensor forward(const at::Tensor& x, const TokenRows& rows, const DropoutDraws& draws,
                     uint32_t site) {
    return dense_block(x, x, {dense_->weight, dense_->bias}, Activation::kGelu,
                       {norm_->weight, norm_->bias, kSequenceNormEpsilon}, rows,
                       draws.at(site, dropout_));
  }

 private:
  double dropout_;
  std::shared_ptr<Linear> dense_;
  std::shared_ptr<LayerNorm> norm_;
};

std::shared_ptr<torch::nn::Module> make_layer(const AugmentedLayerSettings& settings) {
  switch (settings.type) {
    case AugmentedLayerType::kSingle:
      return std::make_shared<SingleLayer>(settings.layer);
    case AugmentedLayerType::kInter:
      return std::make_shared<SequenceFeedForward>(settings.layer);
    case AugmentedLayerType::kSasrec:
      return std::make_shared<SequenceLayer>(settings.layer);
  }
  TORCH_CHECK(false, "augmented layers: type ", static_cast<int>(settings.type),
              "; allowed: single, inter, sasrec");
}

}  // namespace

std::vector<int64_t> all_layers(int64_t layers) {
  std::vector<int64_t> all(layers);
  std::iota(all.begin(), all.end(), int64_t{0});
  return all;
}

std::vector<int64_t> kept_layers(PhiloxKey key, int64_t layers, const LayerDrop& drop,
                                 uint32_t view) {
  KeyedStream stream(key, 0, view, 0);
  std::vector<int64_t> kept = all_layers(layers);
  if (drop.threshold >= 0) {
    TORCH_CHECK(drop.threshold <= 1, "layer dropping: threshold ", drop.threshold,
                "; allowed: 0 to 1, or negative for a number of layers");
    std::erase_if(kept, [&](int64_t) { return !stream.chance(drop.threshold); });
    return kept;
  }
  TORCH_CHECK(drop.dropped >= 0 && drop.dropped <= layers, "layer dropping: ", drop.dropped, " of ",
              layers, " layers dropped; allowed: 0 to ", layers);
  for (int64_t n = 0; n < drop.dropped; ++n)
    kept.erase(kept.begin() + static_cast<int64_t>(stream.below(kept.size())));
  return kept;
}

AugmentedLayers::AugmentedLayers(const AugmentedLayerSettings& settings) : settings_(settings) {
  TORCH_CHECK(settings.layers >= 0 && settings.layers <= 256, "augmented layers: ", settings.layers,
              "; allowed: 0 to 256");
  check_sequence_layers(settings.layer);
  stack_ = register_module("augment_layers", std::make_shared<torch::nn::Module>());
  for (int64_t n = 0; n < settings.layers; ++n)
    stack_->register_module(std::to_string(n), make_layer(settings));
}

at::Tensor AugmentedLayers::forward(at::Tensor x, const TokenRows& rows,
                                    const std::vector<int64_t>& kept, const DropoutDraws& draws) {
  TORCH_CHECK(std::is_sorted(kept.begin(), kept.end()) &&
                  (kept.empty() || (kept.front() >= 0 && kept.back() < settings_.layers)),
              "augmented layers: kept layers ", kept, "; allowed: ascending, below ",
              settings_.layers);
  const auto layers = stack_->children();
  for (const int64_t n : kept) {
    const uint32_t site = settings_.first_site + kLayerSites * static_cast<uint32_t>(n);
    torch::nn::Module& layer = *layers[n];
    if (auto* single = layer.as<SingleLayer>())
      x = single->forward(x, rows, draws, site);
    else if (auto* inter = layer.as<SequenceFeedForward>())
      x = inter->forward(x, rows, draws, site);
    else
      x = layer.as<SequenceLayer>()->forward(x, rows, draws, site);
  }
  return x;
}

}  // namespace cltrain
