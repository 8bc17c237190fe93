// The layers of a sequence encoder on tokens (ops/token_rows.h), post-norm, as S3-Rec's SASRec has
// them (Zhou et al., CIKM 2020) and SRMA after it (Liu et al., arXiv 2203.15508), with the names
// that the state dicts of that family have. Every dropout is keyed: it is SRMA's neuron masking.
//
// Modules are built on the CPU in float32; move_to() (models/nets/layers.h) takes them elsewhere.
// Not thread-safe.
#pragma once

#include "models/nets/layers.h"
#include "ops/token_blocks.h"
#include "ops/token_dropout.h"
#include "ops/token_rows.h"

#include <memory>
#include <string>

#include <torch/nn/module.h>

namespace cltrain {

/// What the dropouts of one pass are drawn with. The number of a dropout in the network is its site
/// (ops/keyed_random.h).
struct DropoutDraws {
  bool training = false;  ///< false: nothing is dropped, and the rest is not read
  PhiloxKey key{};        ///< random_key(seed, Purpose::kDropout, step)
  at::Tensor sample_ids;  ///< [B] int64
  uint32_t view = 0;      ///< below 16: passes of one step that shall not share masks differ in it

  TokenDropout at(uint32_t site, double probability) const {
    return {training ? probability : 0.0, key, sample_ids, view, site};
  }
};

struct SequenceLayerSettings {
  int64_t dim = 64;
  int64_t heads = 2;                                     ///< divides dim
  int64_t inner = 256;                                   ///< of the feed-forward block
  double hidden_dropout = 0.5, attention_dropout = 0.1;  ///< in [0, 1)
};

/// Dropouts of a layer, whichever kind: layer N of a stack has the sites from first + kLayerSites
/// N.
inline constexpr uint32_t kLayerSites = 3;
/// Of the norms.
inline constexpr double kSequenceNormEpsilon = 1e-12;

/// weight [rows, dim].
class EmbeddingTable : public torch::nn::Module {
 public:
  EmbeddingTable(int64_t rows, int64_t dim);
  at::Tensor weight;
};

/// LN(x + drop(dense(attention(x)))): query, key, value, dense, LayerNorm.
class SequenceAttention : public torch::nn::Module {
 public:
  explicit SequenceAttention(const SequenceLayerSettings& settings);
  /// x [T, dim] -> the same; takes the sites first_site and first_site + 1.
  at::Tensor forward(const at::Tensor& x, const TokenRows& rows, const DropoutDraws& draws,
                     uint32_t first_site);

 private:
  SequenceLayerSettings settings_;
  std::shared_ptr<Linear> query_, key_, value_, dense_;
  std::shared_ptr<LayerNorm> norm_;
};

/// LN(x + drop(dense_2(gelu(dense_1(x))))): dense_1, dense_2, LayerNorm.
class SequenceFeedForward : public torch::nn::Module {
 public:
  explicit SequenceFeedForward(const SequenceLayerSettings& settings);
  at::Tensor forward(const at::Tensor& x, const TokenRows& rows, const DropoutDraws& draws,
                     uint32_t site);

 private:
  double dropout_;
  std::shared_ptr<Linear> dense_1_, dense_2_;
  std::shared_ptr<LayerNorm> norm_;
};

/// Both, one after the other: attention, intermediate.
class SequenceLayer : public torch::nn::Module {
 public:
  explicit SequenceLayer(const SequenceLayerSettings& settings);
  at::Tensor forward(const at::Tensor& x, const TokenRows& rows, const DropoutDraws& draws,
                     uint32_t first_site);

 private:
  std::shared_ptr<SequenceAttention> attention_;
  std::shared_ptr<SequenceFeedForward> intermediate_;
};

/// Throws unless the widths, heads and dropouts are in range.
void check_sequence_layers(const SequenceLayerSettings& settings);

/// Every Linear and EmbeddingTable below `root`, which a shared_ptr owns, (padding's row too) N(0,
/// 0.02), keyed by its name behind `prefix`; biases and norms stay as they are made, 0 and 1.
void initialize_sequence_layers(torch::nn::Module& root, uint64_t seed,
                                const std::string& prefix = "");

}  // namespace cltrain
