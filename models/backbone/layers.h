// The layers that blocks may have: one table.
#pragma once

#include "models/backbone/layer.h"

#include <memory>
#include <string>
#include <vector>

namespace cltrain {

/// "input_layer", "SeqAugment", "BST", "AuxiliaryLoss", "MLP", "concat".
std::vector<std::string> layer_names();

/// `name` is one of these. Mistakes in the options are added, and the result then only serves to
/// find more of them.
std::shared_ptr<BlockLayer> make_layer(const std::string& name, const YamlNode& options,
                                       Mistakes& mistakes);

/// A chain of linear layers with ReLU: linear0, linear1, ...
std::shared_ptr<BlockLayer> make_mlp(const std::vector<int64_t>& hidden_units);

/// How the views that a block AuxiliaryLoss was given are compared.
struct AuxiliaryLossSettings {
  std::string loss_type = "nce_loss";
  double loss_weight = 1, temperature = 0.1;
};
/// Those of a layer that is an AuxiliaryLoss, else nullptr.
const AuxiliaryLossSettings* auxiliary_loss(const BlockLayer& layer);

}  // namespace cltrain
