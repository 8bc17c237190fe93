#include "models/nets/sequence_encoder.h"

#include <string>

#include <c10/util/Exception.h>

namespace cltrain {
namespace {

const SequenceEncoderSettings& checked(const SequenceEncoderSettings& settings) {
  TORCH_CHECK(settings.items > 0, "sequence encoder: ", settings.items,
              " items; allowed: 1 and above");
  TORCH_CHECK(settings.max_length > 0, "sequence encoder: length ", settings.max_length,
              "; allowed: 1 and above");
  TORCH_CHECK(settings.layers >= 0 && settings.layers <= 256, "sequence encoder: ", settings.layers,
              " layers; allowed: 0 to 256");
  check_sequence_layers(settings.layer);
  return settings;
}

}  // namespace

SequenceEncoder::SequenceEncoder(const SequenceEncoderSettings& settings)
    : settings_(checked(settings)),
      items_(register_module("item_embeddings", std::make_shared<EmbeddingTable>(
                                                    settings.items + 2, settings.layer.dim))),
      positions_(register_module(
          "position_embeddings",
          std::make_shared<EmbeddingTable>(settings.max_length, settings.layer.dim))),
      norm_(register_module(
          "LayerNorm", std::make_shared<LayerNorm>(settings.layer.dim, kSequenceNormEpsilon))) {
  auto stack = std::make_shared<torch::nn::Module>(),
       encoder = std::make_shared<torch::nn::Module>();
  for (int64_t n = 0; n < settings.layers; ++n)
    layers_.push_back(
        stack->register_module(std::to_string(n), std::make_shared<SequenceLayer>(settings.layer)));
  encoder->register_module("layer", stack);
  register_module("item_encoder", encoder);
}

uint32_t SequenceEncoder::sites() const {
  return 1 + kLayerSites * static_cast<uint32_t>(layers_.size());
}

at::Tensor SequenceEncoder::forward(const TokenRows& rows, const DropoutDraws& draws) {
  TORCH_CHECK(rows.length == settings_.max_length, "sequence encoder: rows of ", rows.length,
              " slots; it is made for max_length = ", settings_.max_length);
  at::Tensor x = embedding_block(rows, items_->weight, positions_->weight,
                                 {norm_->weight, norm_->bias, kSequenceNormEpsilon},
                                 draws.at(0, settings_.layer.hidden_dropout));
  uint32_t site = 1;
  for (const auto& layer : layers_) {
    x = layer->forward(x, rows, draws, site);
    site += kLayerSites;
  }
  return x;
}

}  // namespace cltrain
