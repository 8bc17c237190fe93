// What travels between the blocks of a backbone, and what a layer is. Weights are made when the
// layer first sees inputs, as Keras's are: their widths follow from what stands before it.
//
// Called by Backbone only, on every rank for its own rows. Not thread-safe.
#pragma once

#include "configs/mistakes.h"
#include "configs/yaml_node.h"
#include "ops/keyed_random.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

namespace cltrain {

/// The output of a block, or a feature group. At least one of the tensors is there.
struct BlockValue {
  at::Tensor features;  ///< [b, C]; beside a sequence: the target item
  at::Tensor sequence;  ///< [b, L, C], steps in order from slot 0; behind the end anything
  at::Tensor lengths;   ///< [b] int64, of a sequence
};

/// What an AuxiliaryLoss compares, [b, F] each.
struct AuxiliaryPair {
  at::Tensor left, right;
};

/// Draws of one forward pass; nothing is drawn, and no loss taken, unless `training`.
struct BackboneDraws {
  bool training = false;
  PhiloxKey augmentation{};  ///< random_key(seed, Purpose::kAugmentation, epoch)
  PhiloxKey dropout{};       ///< random_key(seed, Purpose::kDropout, step)
  at::Tensor sample_ids;     ///< [b] int64
};

/// One call of a layer. Its draws are at (sample, view `call`, sites from `first_site` on).
struct LayerCall {
  const BackboneDraws& draws;
  uint32_t call = 0;  ///< how often the layer was called before in this pass; below 16
  uint32_t first_site = 0;
  std::vector<AuxiliaryPair>& pairs;  ///< what losses have been given so far
};

class BlockLayer : public torch::nn::Module {
 public:
  /// Before every call of the pass in which weights are made: makes what these inputs need and is
  /// not there yet. Throws ConfigError without a place where the layer cannot take them, or has
  /// weights for others.
  virtual void build(const std::vector<BlockValue>& inputs) {}
  virtual BlockValue forward(const std::vector<BlockValue>& inputs, const LayerCall& call) = 0;
  /// Keyed initial weights; names are those of named_parameters() behind `prefix` and a dot.
  virtual void initialize_weights(uint64_t seed, const std::string& prefix) {}
  /// Draws' sites that a call takes.
  virtual uint32_t sites() const { return 0; }
};

/// Throws ConfigError where a layer that has weights for `made` channels is called with others.
void check_width(int64_t made, int64_t given);

/// The inputs side by side, [b, sum of C]. Throws ConfigError where one is a sequence.
at::Tensor concatenated(const std::vector<BlockValue>& inputs);

}  // namespace cltrain
