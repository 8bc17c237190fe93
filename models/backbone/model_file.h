// The file that describes a click-through model: its features, and a backbone of named blocks, with
// the words of EasyRec's configurations (easyrec.readthedocs.io, "backbone"); docs/methods.md has a
// table of what is called otherwise.
//
//   features:                              ids and lists of ids, columns of the data
//     - {name: brand, hash_bucket_size: 1000, embedding_dim: 16}
//     - {name: tag_brand_list, hash_bucket_size: 1000, embedding_dim: 16, embedding_name: brand}
//   feature_groups: {item: [brand], user_seq: [tag_brand_list]}
//   backbone:
//     blocks:                              a directed graph without cycles
//       - name: user_seq
//         inputs: [{feature_group_name: user_seq}]
//         input_layer: {output_seq_and_normal_feature: true}
//     packages:                            graphs that are called, with shared weights
//       - name: seq_encoder
//         blocks:
//           - {name: bst, inputs: [{use_package_input: true}], BST: {hidden_size: 32, ...}}
//     concat_blocks: [main]                outputs; without it all blocks that no other one uses
//     top_mlp: {hidden_units: [256, 128]}
//
// An input of a block is one of feature_group_name, block_name, package_name (with package_input, a
// block, package or feature group that the package's placeholder use_package_input stands for) and
// use_package_input; with ignore_input it is computed and not handed over. Blocks of a package may
// name those of the graph that calls it. A block has at most one layer (models/backbone/layers.h).
//
// Called by methods when they are made, on every rank. Errors: ConfigError with all mistakes, each
// with file:line:column.
#pragma once

#include "configs/mistakes.h"
#include "configs/yaml_node.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cltrain {

struct FeatureSettings {
  std::string name;
  std::string column;          ///< of the data; empty: the name
  std::string embedding_name;  ///< tables of this name are one; empty: the feature's own
  int64_t hash_bucket_size = 1, embedding_dim = 16;
  Place place;

  const std::string& data_column() const { return column.empty() ? name : column; }
  const std::string& table() const { return embedding_name.empty() ? name : embedding_name; }
};

struct FeatureGroup {
  std::string name;
  std::vector<std::string> features;
  Place place;
};

/// Where an input comes from.
struct BlockSource {
  enum class Kind { kGroup, kBlock, kPackage, kPlaceholder };
  Kind kind = Kind::kGroup;
  std::string name;
};

struct BlockInput {
  BlockSource source;
  std::optional<BlockSource> package_input;
  bool ignored = false;
  Place place;
};

struct Block {
  std::string name;
  std::vector<BlockInput> inputs;
  bool as_list = false;  ///< merge_inputs_into_list
  std::string layer;     ///< the key of its layer: "BST"; empty: none
  YamlNode options;      ///< of the layer
  Place place;
};

struct BlockPackage {
  std::string name;  ///< of the graph itself empty
  std::vector<Block> blocks;
  std::vector<std::string> outputs;  ///< concat_blocks, or all leaves that are no losses
  Place place;

  const Block* find(std::string_view block) const;
};

struct ModelFile {
  std::vector<FeatureSettings> features;
  std::vector<FeatureGroup> groups;
  BlockPackage graph;
  std::vector<BlockPackage> packages;
  std::vector<int64_t> top_mlp;  ///< widths; may be empty

  const FeatureSettings* feature(std::string_view name) const;
  const FeatureGroup* group(std::string_view name) const;
  const BlockPackage* package(std::string_view name) const;
};

/// Reads and checks the file: names, references, cycles, layers that exist. What only the data can
/// say (columns, widths) is checked where the network is made.
ModelFile read_model_file(const std::filesystem::path& file);
/// The same of text; `origin` as parse_yaml has it.
ModelFile parse_model(std::string_view text, const Place& origin);

}  // namespace cltrain
