#include "models/backbone/backbone.h"

#include <optional>
#include <stdexcept>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

namespace cltrain {
namespace {

using Kind = BlockSource::Kind;

constexpr uint32_t kMostCalls = 16, kMostSites = 4096;  // of ops/keyed_random.h

}  // namespace

/// One forward pass.
struct Backbone::Pass {
  const at::Tensor& features;
  const BackboneDraws& draws;
  bool making_weights = false;
  std::map<const BlockLayer*, uint32_t> calls = {};
  std::vector<AuxiliaryPair> pairs = {};
};

/// One evaluation of the graph, or of a package that was called: what its blocks have given.
struct Backbone::Frame {
  const BlockPackage& graph;
  Pass& pass;
  Frame* whole = nullptr;  ///< that of the graph, where this is a package's
  std::optional<BlockValue> placeholder = {};
  std::map<const Block*, BlockValue> done = {};
};

Backbone::Backbone(ModelFile model, const ClickColumns& columns, uint64_t seed)
    : model_(std::move(model)),
      embeddings_(
          register_module("embeddings", std::make_shared<FeatureEmbeddings>(model_, columns))) {
  Mistakes mistakes;
  make_layers(model_.graph, mistakes);
  for (const BlockPackage& package : model_.packages) make_layers(package, mistakes);
  mistakes.throw_if_any();
  if (!model_.top_mlp.empty()) top_mlp_ = register_module("top_mlp", make_mlp(model_.top_mlp));
  uint32_t site = 0;
  for (const Block& block : model_.graph.blocks)
    if (block.layer == "AuxiliaryLoss")
      losses_.push_back({block.name, *auxiliary_loss(*nodes_.at(&block).layer)});
  for (const auto& item : named_children())
    if (auto* layer = item.value()->as<BlockLayer>()) {
      for (auto& [block, node] : nodes_)
        if (node.layer.get() == layer) node.first_site = site;
      site += layer->sites();
    }
  if (site > kMostSites)
    throw ConfigError(model_.graph.place.text() + ": the layers draw at " + std::to_string(site) +
                      " places, and there are " + std::to_string(kMostSites) +
                      "; take fewer transformer layers");
  const c10::NoGradGuard no_grad;
  const at::Tensor no_rows = at::empty({0, columns.width()}, at::kLong);
  const BackboneDraws draws{.training = true, .sample_ids = at::empty({0}, at::kLong)};
  Pass pass{no_rows, draws, true};
  feature_dim_ = run(pass).size(1);
  embeddings_->initialize_weights(seed, "embeddings");
  for (const auto& item : named_children())
    if (auto* layer = item.value()->as<BlockLayer>()) layer->initialize_weights(seed, item.key());
}

void Backbone::make_layers(const BlockPackage& graph, Mistakes& mistakes) {
  for (const Block& block : graph.blocks) {
    Node& node = nodes_[&block];
    if (block.layer.empty()) continue;
    const std::string name =
        (graph.name.empty() ? "blocks/" : "packages/" + graph.name + "/") + block.name;
    node.layer = register_module(name, make_layer(block.layer, block.options, mistakes));
  }
}

at::Tensor Backbone::run(Pass& pass) {
  Frame frame{model_.graph, pass};
  at::Tensor x = outputs(frame);
  if (top_mlp_) {
    if (pass.making_weights) top_mlp_->build({{.features = x}});
    x = top_mlp_->forward({{.features = x}}, {pass.draws, 0, 0, pass.pairs}).features;
  }
  if (!pass.draws.training) return x;
  for (const Block& block : model_.graph.blocks)
    if (block.layer == "AuxiliaryLoss") this->block(block, frame);
  return x;
}

Backbone::Output Backbone::forward(const at::Tensor& features, const BackboneDraws& draws) {
  Pass pass{features, draws};
  at::Tensor output = run(pass);
  return {output, std::move(pass.pairs)};
}

at::Tensor Backbone::outputs(Frame& frame) {
  std::vector<BlockValue> values;
  for (const std::string& name : frame.graph.outputs)
    values.push_back(block(*frame.graph.find(name), frame));
  try {
    return concatenated(values);
  } catch (const ConfigError& error) {
    throw ConfigError(frame.graph.place.text() + ": concat_blocks: " + error.what());
  }
}

const BlockValue& Backbone::block(const Block& block, Frame& frame) {
  const auto found = frame.done.find(&block);
  if (found != frame.done.end()) return found->second;
  return frame.done[&block] = evaluate(block, frame);
}

BlockValue Backbone::source(const BlockSource& source, const BlockInput& input, Frame& frame) {
  switch (source.kind) {
    case Kind::kGroup:
      return embeddings_->group(source.name, frame.pass.features);
    case Kind::kBlock:
      if (const Block* own = frame.graph.find(source.name)) return block(*own, frame);
      return block(*model_.graph.find(source.name), *frame.whole);
    case Kind::kPackage: {
      Frame called{*model_.package(source.name), frame.pass, frame.whole ? frame.whole : &frame};
      // Not for the package that is itself the input of another.
      if (&source == &input.source && input.package_input)
        called.placeholder = this->source(*input.package_input, input, frame);
      if (called.graph.outputs.size() == 1)
        return block(*called.graph.find(called.graph.outputs.front()), called);
      return {.features = outputs(called)};
    }
    case Kind::kPlaceholder:
      if (!frame.placeholder)
        throw ConfigError(input.place.text() +
                          ": use_package_input, and a call of this package has no package_input");
      return *frame.placeholder;
  }
  throw std::logic_error("an input of no kind");
}

BlockValue Backbone::evaluate(const Block& block, Frame& frame) {
  const Node& node = nodes_.at(&block);
  std::vector<BlockValue> inputs;
  for (const BlockInput& input : block.inputs) {
    BlockValue value = source(input.source, input, frame);
    if (!input.ignored) inputs.push_back(std::move(value));
  }
  try {
    if (inputs.size() == 1 && !node.layer) return inputs.front();
    if (inputs.size() > 1 && !block.as_list) inputs = {{.features = concatenated(inputs)}};
    if (!node.layer) return {.features = concatenated(inputs)};
    const uint32_t call = frame.pass.calls[node.layer.get()]++;
    if (call >= kMostCalls && node.layer->sites() > 0)
      throw ConfigError("called more than " + std::to_string(kMostCalls) +
                        " times in one pass, and draws can be told apart for so many");
    if (frame.pass.making_weights) node.layer->build(inputs);
    return node.layer->forward(inputs, {frame.pass.draws, call, node.first_site, frame.pass.pairs});
  } catch (const ConfigError& error) {
    throw ConfigError(block.place.text() + ": " + block.name + ": " + error.what());
  }
}

}  // namespace cltrain
