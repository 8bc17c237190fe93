#include "models/backbone/layers.h"

#include "configs/nearest.h"
#include "models/backbone/bst.h"
#include "models/backbone/seq_augment.h"
#include "models/backbone/yaml_options.h"
#include "models/nets/layers.h"

#include <functional>

#include <ATen/ops/cat.h>
#include <ATen/ops/relu.h>
#include <c10/util/Exception.h>

namespace cltrain {

void check_width(int64_t made, int64_t given) {
  if (made != given)
    throw ConfigError("called with " + std::to_string(given) + " channels, and before with " +
                      std::to_string(made) + ": calls share the weights, so widths have to agree");
}

at::Tensor concatenated(const std::vector<BlockValue>& inputs) {
  std::vector<at::Tensor> parts;
  for (const BlockValue& input : inputs) {
    if (input.sequence.defined())
      throw ConfigError(
          "an input is a sequence, and only SeqAugment and BST take one; use a BST with "
          "output_all_token_embeddings: false before it, or for its input_layer a feature group "
          "without lists");
    parts.push_back(input.features);
  }
  if (parts.empty()) throw ConfigError("no input is left to hand over");
  return parts.size() == 1 ? parts.front() : at::cat(parts, 1);
}

namespace {

/// Of a feature group: features, or sequence and features.
class InputLayer : public BlockLayer {
 public:
  InputLayer(const YamlNode& options, Mistakes& mistakes) {
    OptionTable table;
    table.add("output_seq_and_normal_feature", with_sequence_,
              {.doc = "the group's lists as a sequence, and its ids beside it"});
    read_options(options, "input_layer", table, {}, mistakes);
  }
  void build(const std::vector<BlockValue>& inputs) override {
    if (inputs.size() != 1) throw ConfigError("input_layer takes one feature group");
    if (inputs[0].sequence.defined() == with_sequence_) return;
    throw ConfigError(with_sequence_
                          ? "output_seq_and_normal_feature: true, and the feature group has no list"
                          : "the feature group has lists; set output_seq_and_normal_feature: true");
  }
  BlockValue forward(const std::vector<BlockValue>& inputs, const LayerCall&) override {
    return inputs[0];
  }

 private:
  bool with_sequence_ = false;
};

class Concat : public BlockLayer {
 public:
  Concat(const YamlNode& options, Mistakes& mistakes) {
    OptionTable table;
    read_options(options, "concat", table, {}, mistakes);
  }
  BlockValue forward(const std::vector<BlockValue>& inputs, const LayerCall&) override {
    return {.features = concatenated(inputs)};
  }
};

class Mlp : public BlockLayer {
 public:
  explicit Mlp(std::vector<int64_t> units) : units_(std::move(units)) {}
  Mlp(const YamlNode& options, Mistakes& mistakes) {
    OptionTable table;
    table.add("hidden_units", units_, {.doc = "widths", .min = 1});
    read_options(options, "MLP", table, {"hidden_units"}, mistakes);
  }
  void build(const std::vector<BlockValue>& inputs) override {
    int64_t width = concatenated(inputs).size(1);
    if (!layers_.empty()) return check_width(layers_.front()->weight.size(1), width);
    for (const int64_t units : units_) {
      layers_.push_back(register_module("linear" + std::to_string(layers_.size()),
                                        std::make_shared<Linear>(width, units)));
      width = units;
    }
  }
  BlockValue forward(const std::vector<BlockValue>& inputs, const LayerCall&) override {
    at::Tensor x = concatenated(inputs);
    for (const auto& layer : layers_) x = at::relu(layer->forward(x));
    return {.features = x};
  }
  void initialize_weights(uint64_t seed, const std::string& prefix) override {
    initialize(*this, seed, prefix);
  }

 private:
  std::vector<int64_t> units_;
  std::vector<std::shared_ptr<Linear>> layers_;
};

class AuxiliaryLoss : public BlockLayer {
 public:
  AuxiliaryLoss(const YamlNode& options, Mistakes& mistakes) {
    OptionTable table;
    table.add("loss_type", settings.loss_type,
              {.doc = "loss", .choices = {"l2_loss", "info_nce", "nce_loss"}});
    table.add("loss_weight", settings.loss_weight, {.doc = "its weight", .min = 0});
    table.add("temperature", settings.temperature,
              {.doc = "of info_nce and nce_loss", .min = 0, .above_min = true});
    read_options(options, "AuxiliaryLoss", table, {"loss_type"}, mistakes);
  }
  void build(const std::vector<BlockValue>& inputs) override {
    if (inputs.size() != 2)
      throw ConfigError("AuxiliaryLoss compares two inputs, and there are " +
                        std::to_string(inputs.size()) +
                        "; name two, with merge_inputs_into_list: true");
    const int64_t left = concatenated({inputs[0]}).size(1);
    const int64_t right = concatenated({inputs[1]}).size(1);
    if (left != right)
      throw ConfigError("AuxiliaryLoss compares " + std::to_string(left) + " channels with " +
                        std::to_string(right) + "; both have to be as wide");
  }
  BlockValue forward(const std::vector<BlockValue>& inputs, const LayerCall& call) override {
    call.pairs.push_back({inputs[0].features.contiguous(), inputs[1].features.contiguous()});
    return {};
  }

  AuxiliaryLossSettings settings;
};

using Make = std::shared_ptr<BlockLayer> (*)(const YamlNode&, Mistakes&);
template <class Layer>
std::shared_ptr<BlockLayer> make(const YamlNode& options, Mistakes& mistakes) {
  return std::make_shared<Layer>(options, mistakes);
}
struct Row {
  const char* name;
  Make make;
};
constexpr Row kLayers[] = {
    {"input_layer", make<InputLayer>},
    {"SeqAugment", make<SeqAugment>},
    {"BST", make<Bst>},
    {"AuxiliaryLoss", make<AuxiliaryLoss>},
    {"MLP", make<Mlp>},
    {"concat", make<Concat>},
};

}  // namespace

std::vector<std::string> layer_names() {
  std::vector<std::string> names;
  for (const Row& row : kLayers) names.emplace_back(row.name);
  return names;
}

std::shared_ptr<BlockLayer> make_layer(const std::string& name, const YamlNode& options,
                                       Mistakes& mistakes) {
  for (const Row& row : kLayers)
    if (name == row.name) return row.make(options, mistakes);
  TORCH_CHECK(false, "no layer named ", name, "; there are ", join(layer_names()));
}

std::shared_ptr<BlockLayer> make_mlp(const std::vector<int64_t>& hidden_units) {
  return std::make_shared<Mlp>(hidden_units);
}

const AuxiliaryLossSettings* auxiliary_loss(const BlockLayer& layer) {
  const auto* loss = dynamic_cast<const AuxiliaryLoss*>(&layer);
  return loss == nullptr ? nullptr : &loss->settings;
}

}  // namespace cltrain
