#include "models/nets/sequence_layers.h"

#include "ops/initial_weights.h"
#include "ops/ragged_attention.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

constexpr double kInitialDeviation = 0.02;

DenseWeights weights_of(const Linear& layer) {
  return {layer.weight, layer.bias};
}
NormWeights weights_of(const LayerNorm& layer) {
  return {layer.weight, layer.bias, kSequenceNormEpsilon};
}

}  // namespace

EmbeddingTable::EmbeddingTable(int64_t rows, int64_t dim)
    : weight(register_parameter("weight", at::zeros({rows, dim}))) {}

SequenceAttention::SequenceAttention(const SequenceLayerSettings& settings)
    : settings_(settings),
      query_(register_module("query", std::make_shared<Linear>(settings.dim, settings.dim))),
      key_(register_module("key", std::make_shared<Linear>(settings.dim, settings.dim))),
      value_(register_module("value", std::make_shared<Linear>(settings.dim, settings.dim))),
      dense_(register_module("dense", std::make_shared<Linear>(settings.dim, settings.dim))),
      norm_(register_module("LayerNorm",
                            std::make_shared<LayerNorm>(settings.dim, kSequenceNormEpsilon))) {}

at::Tensor SequenceAttention::forward(const at::Tensor& x, const TokenRows& rows,
                                      const DropoutDraws& draws, uint32_t first_site) {
  const DenseWeights all{at::cat({query_->weight, key_->weight, value_->weight}),
                         at::cat({query_->bias, key_->bias, value_->bias})};
  const at::Tensor context = ragged_attention(token_linear(x, all), rows, settings_.heads,
                                              draws.at(first_site, settings_.attention_dropout));
  return dense_block(context, x, weights_of(*dense_), Activation::kNone, weights_of(*norm_), rows,
                     draws.at(first_site + 1, settings_.hidden_dropout));
}

SequenceFeedForward::SequenceFeedForward(const SequenceLayerSettings& settings)
    : dropout_(settings.hidden_dropout),
      dense_1_(register_module("dense_1", std::make_shared<Linear>(settings.dim, settings.inner))),
      dense_2_(register_module("dense_2", std::make_shared<Linear>(settings.inner, settings.dim))),
      norm_(register_module("LayerNorm",
                            std::make_shared<LayerNorm>(settings.dim, kSequenceNormEpsilon))) {}

at::Tensor SequenceFeedForward::forward(const at::Tensor& x, const TokenRows& rows,
                                        const DropoutDraws& draws, uint32_t site) {
  return feed_forward_block(x, weights_of(*dense_1_), weights_of(*dense_2_), weights_of(*norm_),
                            rows, draws.at(site, dropout_));
}

SequenceLayer::SequenceLayer(const SequenceLayerSettings& settings)
    : attention_(register_module("attention", std::make_shared<SequenceAttention>(settings))),
      intermediate_(
          register_module("intermediate", std::make_shared<SequenceFeedForward>(settings))) {}

at::Tensor SequenceLayer::forward(const at::Tensor& x, const TokenRows& rows,
                                  const DropoutDraws& draws, uint32_t first_site) {
  return intermediate_->forward(attention_->forward(x, rows, draws, first_site), rows, draws,
                                first_site + 2);
}

void check_sequence_layers(const SequenceLayerSettings& settings) {
  TORCH_CHECK(settings.dim > 0 && settings.heads > 0 && settings.dim % settings.heads == 0,
              "sequence layers: width ", settings.dim, " in ", settings.heads,
              " heads; allowed: a width that the heads divide");
  TORCH_CHECK(settings.inner > 0, "sequence layers: inner width ", settings.inner,
              "; allowed: 1 and above");
  for (const double p : {settings.hidden_dropout, settings.attention_dropout})
    TORCH_CHECK(p >= 0 && p < 1, "sequence layers: dropout ", p, "; allowed: 0 <= p < 1");
}

void initialize_sequence_layers(torch::nn::Module& root, uint64_t seed, const std::string& prefix) {
  for (const auto& item : root.named_modules(prefix)) {
    if (auto* linear = item.value()->as<Linear>())
      fill_normal(linear->weight, kInitialDeviation, seed, item.key() + ".weight");
    else if (auto* table = item.value()->as<EmbeddingTable>())
      fill_normal(table->weight, kInitialDeviation, seed, item.key() + ".weight");
  }
}

}  // namespace cltrain
