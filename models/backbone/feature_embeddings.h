// The features of a click-through model as vectors: each id's hash (data/clicks/id_hash.h) modulo
// the buckets picks a row of a table; features of one embedding_name share theirs. No id is zeros.
//
// Called by Backbone, on every rank for its own rows. Not thread-safe.
#pragma once

#include "data/clicks/click_table.h"
#include "models/backbone/layer.h"
#include "models/backbone/model_file.h"

#include <string>

namespace cltrain {

class FeatureEmbeddings : public torch::nn::Module {
 public:
  /// Both outlive this. Tables are made when a group is first asked for.
  FeatureEmbeddings(const ModelFile& model, const ClickColumns& columns)
      : model_(model), columns_(columns) {}

  /// features [b, columns.width()] int64 -> the group's ids side by side and its lists side by
  /// side, each step the lists' vectors; as long as the longest of a row's lists. Throws
  /// ConfigError with the feature's place where the data have no such column.
  BlockValue group(const std::string& name, const at::Tensor& features);
  /// N(0, 1 / embedding_dim), keyed.
  void initialize_weights(uint64_t seed, const std::string& prefix);

 private:
  const at::Tensor& table_of(const FeatureSettings& feature);
  const ClickColumn& column_of(const FeatureSettings& feature) const;

  const ModelFile& model_;
  const ClickColumns& columns_;
};

}  // namespace cltrain
