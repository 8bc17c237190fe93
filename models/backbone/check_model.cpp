#include "models/backbone/check_model.h"

#include "configs/nearest.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

namespace cltrain {
namespace {

using Kind = BlockSource::Kind;

class Checker {
 public:
  Checker(ModelFile& model, Mistakes& mistakes) : model_(model), mistakes_(mistakes) {}

  void run() {
    check_groups();
    for_each_graph([&](BlockPackage& graph) { check_names(graph); });
    for_each_graph([&](BlockPackage& graph) {
      for (Block& block : graph.blocks)
        for (BlockInput& input : block.inputs) check_input(graph, input);
      fill_outputs(graph);
    });
    for_each_graph([&](BlockPackage& graph) {
      for (const Block& block : graph.blocks) visit(graph, block);
    });
    for_each_graph([&](BlockPackage& graph) { check_used(graph); });
  }

 private:
  void for_each_graph(const std::function<void(BlockPackage&)>& call) {
    call(model_.graph);
    for (BlockPackage& package : model_.packages) call(package);
  }

  void missing(const Place& place, const std::string& what, const std::string& name,
               const std::vector<std::string>& there) {
    const std::string nearest = nearest_word(name, there);
    mistakes_.add(place, name,
                  "there is no " + what + " of this name; there are " + join(there) +
                      (nearest.empty() ? "" : "; nearest: " + nearest));
  }

  template <class Named>
  static std::vector<std::string> names(const std::vector<Named>& all) {
    std::vector<std::string> result;
    for (const Named& one : all) result.push_back(one.name);
    return result;
  }

  template <class Named>
  void refuse_twice(const std::vector<Named>& all, const std::string& what) {
    std::map<std::string, Place> seen;
    for (const Named& one : all) {
      const auto [first, is_new] = seen.emplace(one.name, one.place);
      if (!is_new)
        mistakes_.add(
            one.place, one.name,
            what + " has this name already, at " + first->second.text() + "; give it another");
    }
  }

  void check_groups() {
    refuse_twice(model_.features, "a feature");
    refuse_twice(model_.packages, "a package");
    std::map<std::string, const FeatureSettings*> tables;
    for (const FeatureSettings& feature : model_.features) {
      const FeatureSettings& first = *tables.emplace(feature.table(), &feature).first->second;
      if (first.hash_bucket_size != feature.hash_bucket_size ||
          first.embedding_dim != feature.embedding_dim)
        mistakes_.add(feature.place, feature.name,
                      "shares the embeddings " + feature.table() + " with " + first.name +
                          ", which has hash_bucket_size " + std::to_string(first.hash_bucket_size) +
                          " and embedding_dim " + std::to_string(first.embedding_dim) +
                          "; set the same, or another embedding_name");
    }
    for (const FeatureGroup& group : model_.groups)
      for (const std::string& name : group.features)
        if (model_.feature(name) == nullptr)
          missing(group.place, "feature", name, names(model_.features));
  }

  void check_names(BlockPackage& graph) { refuse_twice(graph.blocks, "a block"); }

  /// In the graph, or in the one that calls the package.
  const Block* block_seen_from(const BlockPackage& graph, const std::string& name) const {
    const Block* found = graph.find(name);
    return found != nullptr ? found : model_.graph.find(name);
  }

  std::vector<std::string> blocks_seen_from(const BlockPackage& graph) const {
    std::vector<std::string> all = names(graph.blocks);
    if (&graph != &model_.graph)
      for (const std::string& name : names(model_.graph.blocks)) all.push_back(name);
    return all;
  }

  void check_input(const BlockPackage& graph, BlockInput& input) {
    const std::string& name = input.source.name;
    switch (input.source.kind) {
      case Kind::kGroup:
        if (model_.group(name) == nullptr)
          missing(input.place, "feature group", name, names(model_.groups));
        break;
      case Kind::kBlock:
        if (block_seen_from(graph, name) == nullptr)
          missing(input.place, "block", name, blocks_seen_from(graph));
        refuse_loss(input.place, block_seen_from(graph, name));
        break;
      case Kind::kPackage:
        if (model_.package(name) == nullptr)
          missing(input.place, "package", name, names(model_.packages));
        break;
      case Kind::kPlaceholder:
        if (&graph == &model_.graph)
          mistakes_.add(input.place, "use_package_input",
                        "stands for what the caller of a package gives, and this block is in none; "
                        "name a block, a package or a feature group");
        break;
    }
    if (!input.package_input) return;
    BlockSource& given = *input.package_input;
    refuse_loss(input.place, block_seen_from(graph, given.name));
    if (block_seen_from(graph, given.name) != nullptr)
      given.kind = Kind::kBlock;
    else if (model_.package(given.name) != nullptr)
      given.kind = Kind::kPackage;
    else if (model_.group(given.name) != nullptr)
      given.kind = Kind::kGroup;
    else
      missing(input.place, "block, package or feature group", given.name, blocks_seen_from(graph));
  }

  void refuse_loss(const Place& place, const Block* block) {
    if (block != nullptr && block->layer == "AuxiliaryLoss")
      mistakes_.add(place, block->name,
                    "is an AuxiliaryLoss, which has no output; name another block");
  }

  static std::set<std::string> used_blocks(const BlockPackage& graph) {
    std::set<std::string> used;
    for (const Block& block : graph.blocks)
      for (const BlockInput& input : block.inputs) {
        if (input.source.kind == Kind::kBlock) used.insert(input.source.name);
        if (input.package_input && input.package_input->kind == Kind::kBlock)
          used.insert(input.package_input->name);
      }
    return used;
  }

  void fill_outputs(BlockPackage& graph) {
    for (const std::string& name : graph.outputs) {
      if (graph.find(name) == nullptr) missing(graph.place, "block", name, names(graph.blocks));
      refuse_loss(graph.place, graph.find(name));
    }
    if (!graph.outputs.empty()) return;
    const std::set<std::string> used = used_blocks(graph);
    for (const Block& block : graph.blocks)
      if (!used.contains(block.name) && block.layer != "AuxiliaryLoss" &&
          !called_upon(graph, block))
        graph.outputs.push_back(block.name);
  }

  /// Whether a package reads this block of the graph.
  bool called_upon(const BlockPackage& graph, const Block& block) const {
    if (&graph != &model_.graph) return false;
    return std::ranges::any_of(model_.packages, [&](const BlockPackage& package) {
      return package.find(block.name) == nullptr && used_blocks(package).contains(block.name);
    });
  }

  void check_used(const BlockPackage& graph) {
    for (const Block& block : graph.blocks) {
      const bool is_output = std::ranges::find(graph.outputs, block.name) != graph.outputs.end();
      if (is_output || block.layer == "AuxiliaryLoss" || used_blocks(graph).contains(block.name) ||
          called_upon(graph, block))
        continue;
      mistakes_.add(block.place, block.name,
                    "nothing uses this block; add it to concat_blocks, or remove it");
    }
    for (const BlockPackage& package : model_.packages) {
      if (&package != &graph) continue;
      bool called = false;
      for_each_graph([&](BlockPackage& other) {
        for (const Block& block : other.blocks)
          for (const BlockInput& input : block.inputs)
            called |= (input.source.kind == Kind::kPackage && input.source.name == graph.name) ||
                      (input.package_input && input.package_input->kind == Kind::kPackage &&
                       input.package_input->name == graph.name);
      });
      if (!called) mistakes_.add(graph.place, graph.name, "nothing calls this package; remove it");
      for (const Block& block : graph.blocks)
        if (block.layer == "AuxiliaryLoss")
          mistakes_.add(block.place, block.name,
                        "an AuxiliaryLoss in a package; put it among the blocks of the backbone");
    }
    if (graph.outputs.empty())
      mistakes_.add(graph.place, "", "no block is left as output; name some in concat_blocks");
  }

  // Depth first; what is on the way and comes again is a cycle.
  void visit(const BlockPackage& graph, const Block& block) {
    const std::string name = graph.name.empty() ? block.name : graph.name + "/" + block.name;
    if (done_.contains(name)) return;
    const auto before = std::ranges::find(way_, name);
    if (before != way_.end()) {
      mistakes_.add(
          block.place, block.name,
          "waits for itself: " + join(std::vector<std::string>(before, way_.end()), " <- ") +
              " <- " + name + "; take one of these inputs out");
      return;
    }
    way_.push_back(name);
    for (const BlockInput& input : block.inputs) {
      follow(graph, input.source);
      if (input.package_input) follow(graph, *input.package_input);
    }
    way_.pop_back();
    done_.insert(name);
  }

  void follow(const BlockPackage& graph, const BlockSource& source) {
    if (source.kind == Kind::kBlock) {
      if (const Block* own = graph.find(source.name))
        visit(graph, *own);
      else if (const Block* outer = model_.graph.find(source.name))
        visit(model_.graph, *outer);
    } else if (source.kind == Kind::kPackage) {
      if (const BlockPackage* package = model_.package(source.name))
        for (const Block& block : package->blocks) visit(*package, block);
    }
  }

  ModelFile& model_;
  Mistakes& mistakes_;
  std::vector<std::string> way_;
  std::set<std::string> done_;
};

}  // namespace

void check_references(ModelFile& model, Mistakes& mistakes) {
  Checker(model, mistakes).run();
}

}  // namespace cltrain
