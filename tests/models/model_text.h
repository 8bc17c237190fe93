// Pieces of model files, and rows for them, in tests of the backbone.
#pragma once

#include "configs/yaml_source.h"
#include "data/clicks/id_hash.h"
#include "models/backbone/backbone.h"

#include <string>

#include <ATen/Functions.h>
#include <gtest/gtest.h>

namespace cltrain::testing {

inline Place model_place() {
  return {.source = "model.yaml", .line = 1, .column = 1};
}

inline YamlNode yaml_of(const std::string& text) {
  Mistakes mistakes;
  const auto node = parse_yaml(text, model_place(), "", mistakes);
  mistakes.throw_if_any();
  return *node;
}

/// What a ConfigError of `call` says, or "nothing thrown".
template <class Call>
std::string config_error(const Call& call) {
  try {
    call();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "nothing thrown";
}

/// Three features, two of which share a table; two groups; then what is given of the backbone.
inline std::string model_text(const std::string& backbone) {
  return "features:\n"
         "  - {name: user, hash_bucket_size: 50, embedding_dim: 3}\n"
         "  - {name: item, hash_bucket_size: 40, embedding_dim: 4}\n"
         "  - {name: list, hash_bucket_size: 40, embedding_dim: 4, embedding_name: item}\n"
         "feature_groups: {user: [user], item: [item], seq: [list], both: [item, list]}\n"
         "backbone:\n" +
         backbone;
}

inline ModelFile model_of(const std::string& backbone) {
  return parse_model(model_text(backbone), model_place());
}

inline const ClickColumns& click_columns() {
  static const ClickColumns columns({"user", "item"}, {"list"}, 5);
  return columns;
}

/// [rows, 7] of `first`, first + 1, ...: lists of 0 to 5 ids.
inline at::Tensor click_features(int64_t rows, int64_t first = 0) {
  at::Tensor features = at::zeros({rows, click_columns().width()}, at::kLong);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t id = first + row;
    features[row][0] = id_hash("u" + std::to_string(id));
    features[row][1] = id_hash("i" + std::to_string(id % 7));
    for (int64_t step = 0; step < id % 6; ++step)
      features[row][2 + step] = id_hash("i" + std::to_string((id + step) % 9));
  }
  return features;
}

inline BackboneDraws draws_of(int64_t rows, int64_t first = 0) {
  return {.training = true,
          .augmentation = random_key(1, Purpose::kAugmentation, 2),
          .dropout = random_key(1, Purpose::kDropout, 3),
          .sample_ids = at::arange(first, first + rows, at::kLong)};
}

/// EasyRec's CL4SRec, small.
inline const std::string kContrastive =
    "  blocks:\n"
    "    - {name: seq, inputs: [{feature_group_name: seq}],\n"
    "       input_layer: {output_seq_and_normal_feature: true}}\n"
    "    - name: contrastive\n"
    "      inputs: [{package_name: encoder, package_input: augment},\n"
    "               {package_name: encoder, package_input: augment}]\n"
    "      merge_inputs_into_list: true\n"
    "      AuxiliaryLoss: {loss_type: nce_loss, loss_weight: 0.3, temperature: 0.5}\n"
    "    - name: main\n"
    "      inputs: [{package_name: encoder, package_input: seq}, {feature_group_name: user},\n"
    "               {feature_group_name: item}]\n"
    "  packages:\n"
    "    - name: augment\n"
    "      blocks:\n"
    "        - {name: view, inputs: [{block_name: seq}], SeqAugment: {crop_rate: 0.5}}\n"
    "    - name: encoder\n"
    "      blocks:\n"
    "        - name: bst\n"
    "          inputs: [{use_package_input: true}]\n"
    "          BST: {hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2,\n"
    "                intermediate_size: 12, hidden_dropout_prob: 0.2,\n"
    "                output_all_token_embeddings: false}\n"
    "  concat_blocks: [main]\n"
    "  top_mlp: {hidden_units: [10, 6]}\n";

}  // namespace cltrain::testing
