#include "models/backbone/model_file.h"

#include "configs/nearest.h"
#include "configs/yaml_source.h"
#include "models/backbone/check_model.h"
#include "models/backbone/layers.h"
#include "models/backbone/yaml_options.h"

#include <algorithm>

namespace cltrain {
namespace {

using Kind = BlockSource::Kind;

template <class Named>
const Named* find(const std::vector<Named>& all, std::string_view name) {
  for (const Named& one : all)
    if (one.name == name) return &one;
  return nullptr;
}

bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
  });
}

class ModelReader {
 public:
  explicit ModelReader(Mistakes& mistakes) : mistakes_(mistakes) {}

  ModelFile read(const YamlNode& root) {
    ModelFile model;
    if (!check_keys(root, "a model", {"features", "feature_groups", "backbone"}, mistakes_))
      return model;
    for (const YamlNode& node : items_of(root, "features")) model.features.push_back(feature(node));
    if (const YamlNode* groups = needed(root, "feature_groups"))
      for (const YamlEntry& entry : groups->entries) {
        if (!is_name(entry.key)) refuse_name(entry.place, entry.key);
        model.groups.push_back({entry.key, words(entry.value), entry.place});
      }
    const YamlNode* backbone = needed(root, "backbone");
    if (backbone == nullptr ||
        !check_keys(*backbone, "backbone", {"blocks", "packages", "concat_blocks", "top_mlp"},
                    mistakes_))
      return model;
    model.graph = graph(*backbone, "");
    if (entry_of(*backbone, "packages"))
      for (const YamlNode& node : items_of(*backbone, "packages"))
        if (check_keys(node, "a package", {"name", "blocks", "concat_blocks"}, mistakes_))
          model.packages.push_back(graph(node, name_of(node)));
    if (const YamlNode* mlp = entry_of(*backbone, "top_mlp")) {
      OptionTable table;
      table.add("hidden_units", model.top_mlp, {.doc = "widths", .min = 1});
      read_options(*mlp, "top_mlp", table, {"hidden_units"}, mistakes_);
    }
    return model;
  }

 private:
  const YamlNode* needed(const YamlNode& map, const std::string& key) {
    const YamlNode* found = entry_of(map, key);
    if (found == nullptr) mistakes_.add(map.place, key, "is missing; write " + key + ": ...");
    return found;
  }

  const std::vector<YamlNode>& items_of(const YamlNode& map, const std::string& key) {
    static const std::vector<YamlNode> none;
    const YamlNode* found = needed(map, key);
    if (found == nullptr) return none;
    if (!found->is_list() || found->items.empty()) {
      mistakes_.add(found->place, key,
                    (found->is_list() ? "an empty list" : describe_for_message(*found)) +
                        " where a list of one or more belongs; write [{...}, ...]");
      return none;
    }
    return found->items;
  }

  std::vector<std::string> words(const YamlNode& list) {
    std::vector<std::string> result;
    if (list.is_scalar()) return {list.text};
    for (const YamlNode& item : list.items) result.push_back(item.text);
    if (result.empty())
      mistakes_.add(list.place, "",
                    describe_for_message(list) + " where names belong; write [NAME, ...]");
    return result;
  }

  void refuse_name(const Place& place, const std::string& name) {
    mistakes_.add(place, name, "is no name; allowed: letters, digits, _ and -");
  }

  std::string name_of(const YamlNode& map) {
    const YamlNode* name = needed(map, "name");
    if (name == nullptr) return "";
    if (!is_name(name->text)) refuse_name(name->place, name->text);
    return name->text;
  }

  FeatureSettings feature(const YamlNode& node) {
    FeatureSettings settings;
    settings.place = node.place;
    OptionTable table;
    table.add("name", settings.name, {.doc = "of the feature"});
    table.add("column", settings.column, {.doc = "of the data; empty: the name"});
    table.add("embedding_name", settings.embedding_name, {.doc = "features of one share a table"});
    table.add("hash_bucket_size", settings.hash_bucket_size,
              {.doc = "rows of the table", .min = 1, .max = 1 << 28});
    table.add("embedding_dim", settings.embedding_dim, {.doc = "channels", .min = 1, .max = 4096});
    read_options(node, "a feature", table, {"name", "hash_bucket_size", "embedding_dim"},
                 mistakes_);
    if (!settings.name.empty() && !is_name(settings.table()))
      refuse_name(node.place, settings.table());
    return settings;
  }

  BlockPackage graph(const YamlNode& node, const std::string& name) {
    BlockPackage result{.name = name, .place = node.place};
    for (const YamlNode& item : items_of(node, "blocks")) result.blocks.push_back(block(item));
    if (const YamlNode* outputs = entry_of(node, "concat_blocks")) {
      result.outputs = words(*outputs);
      result.place = outputs->place;
    }
    return result;
  }

  Block block(const YamlNode& node) {
    Block result{.place = node.place};
    std::vector<std::string> keys{"name", "inputs", "merge_inputs_into_list"};
    for (const std::string& layer : layer_names()) keys.push_back(layer);
    if (!check_keys(node, "a block", keys, mistakes_)) return result;
    result.name = name_of(node);
    for (const YamlNode& item : items_of(node, "inputs")) result.inputs.push_back(input(item));
    if (const YamlNode* merge = entry_of(node, "merge_inputs_into_list")) {
      OptionTable table;
      table.add("merge_inputs_into_list", result.as_list, {.doc = "hand over a list"});
      YamlNode map{.kind = YamlNode::Kind::kMap, .place = merge->place};
      map.entries.push_back({"merge_inputs_into_list", merge->place, *merge});
      read_options(map, "a block", table, {}, mistakes_);
    }
    for (const std::string& layer : layer_names()) {
      const YamlNode* options = entry_of(node, layer);
      if (options == nullptr) continue;
      if (!result.layer.empty())
        mistakes_.add(options->place, layer,
                      "a second layer beside " + result.layer + "; make another block for it");
      result.layer = layer;
      result.options = *options;
      make_layer(layer, *options, mistakes_);  // for its mistakes
    }
    return result;
  }

  BlockInput input(const YamlNode& node) {
    BlockInput result{.place = node.place};
    bool placeholder = false;
    std::string group, block, package, given;
    OptionTable table;
    table.add("feature_group_name", group, {.doc = "a feature group"});
    table.add("block_name", block, {.doc = "a block"});
    table.add("package_name", package, {.doc = "a package, called"});
    table.add("package_input", given, {.doc = "what its placeholder stands for"});
    table.add("use_package_input", placeholder, {.doc = "the placeholder"});
    table.add("ignore_input", result.ignored, {.doc = "compute it, and do not hand it over"});
    read_options(node, "an input", table, {}, mistakes_);
    if (!group.empty() + !block.empty() + !package.empty() + placeholder != 1)
      mistakes_.add(node.place, "",
                    "an input is one of feature_group_name: NAME, block_name: NAME, package_name: "
                    "NAME and use_package_input: true");
    if (!given.empty() && package.empty())
      mistakes_.add(node.place, "package_input", "goes with package_name");
    if (!given.empty()) result.package_input = {Kind::kBlock, given};
    result.source = placeholder        ? BlockSource{Kind::kPlaceholder, ""}
                    : !group.empty()   ? BlockSource{Kind::kGroup, group}
                    : !package.empty() ? BlockSource{Kind::kPackage, package}
                                       : BlockSource{Kind::kBlock, block};
    return result;
  }

  Mistakes& mistakes_;
};

ModelFile checked(const std::optional<YamlNode>& root, Mistakes& mistakes) {
  mistakes.throw_if_any();
  ModelFile model = ModelReader(mistakes).read(*root);
  mistakes.throw_if_any();  // what is misread would be missing as well
  check_references(model, mistakes);
  mistakes.throw_if_any();
  return model;
}

}  // namespace

const Block* BlockPackage::find(std::string_view block) const {
  return cltrain::find(blocks, block);
}
const FeatureSettings* ModelFile::feature(std::string_view name) const {
  return find(features, name);
}
const FeatureGroup* ModelFile::group(std::string_view name) const {
  return find(groups, name);
}
const BlockPackage* ModelFile::package(std::string_view name) const {
  return find(packages, name);
}

ModelFile parse_model(std::string_view text, const Place& origin) {
  Mistakes mistakes;
  return checked(parse_yaml(text, origin, "", mistakes), mistakes);
}

ModelFile read_model_file(const std::filesystem::path& file) {
  Mistakes mistakes;
  const Place origin{.source = file.string(), .line = 1, .column = 1};
  const auto text = read_config_file(file, {.source = "easyrec.model"}, mistakes);
  mistakes.throw_if_any();
  return checked(parse_yaml(*text, origin, "", mistakes), mistakes);
}

}  // namespace cltrain
