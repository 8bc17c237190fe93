#include "models/backbone/feature_embeddings.h"

#include "configs/nearest.h"
#include "ops/initial_weights.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/zeros.h>

namespace cltrain {

const at::Tensor& FeatureEmbeddings::table_of(const FeatureSettings& feature) {
  if (!parameters_.contains(feature.table()))
    register_parameter(feature.table(),
                       at::zeros({feature.hash_bucket_size, feature.embedding_dim}));
  return parameters_[feature.table()];
}

const ClickColumn& FeatureEmbeddings::column_of(const FeatureSettings& feature) const {
  const ClickColumn* column = columns_.find(feature.data_column());
  if (column != nullptr) return *column;
  std::vector<std::string> names;
  for (const ClickColumn& each : columns_.all) names.push_back(each.name);
  const std::string nearest = nearest_word(feature.data_column(), names);
  throw ConfigError(feature.place.text() + ": " + feature.name + ": the data have no column " +
                    feature.data_column() + "; they have " + join(names) +
                    (nearest.empty() ? "" : "; nearest: " + nearest));
}

BlockValue FeatureEmbeddings::group(const std::string& name, const at::Tensor& features) {
  std::vector<at::Tensor> ids, lists;
  at::Tensor lengths;
  for (const std::string& feature_name : model_.group(name)->features) {
    const FeatureSettings& feature = *model_.feature(feature_name);
    const ClickColumn& column = column_of(feature);
    const at::Tensor hashes = features.narrow(1, column.begin, column.width);  // [b, width]
    const at::Tensor& table = table_of(feature);
    const at::Tensor known = hashes != 0;
    const at::Tensor vectors = at::embedding(table, hashes.remainder(feature.hash_bucket_size)) *
                               known.unsqueeze(2).to(table.scalar_type());  // [b, width, C]
    if (!column.sequence) {
      ids.push_back(vectors.squeeze(1));
      continue;
    }
    const at::Tensor slots = at::arange(1, column.width + 1, hashes.options());
    const at::Tensor length = (known * slots).amax(1);
    lengths = lengths.defined() ? at::maximum(lengths, length) : length;
    lists.push_back(vectors);
  }
  BlockValue value;
  if (!ids.empty()) value.features = at::cat(ids, 1);
  if (!lists.empty()) value.sequence = at::cat(lists, 2);
  value.lengths = lengths;
  return value;
}

void FeatureEmbeddings::initialize_weights(uint64_t seed, const std::string& prefix) {
  for (auto& item : named_parameters(false))
    fill_normal(item.value(), 1 / std::sqrt(static_cast<double>(item.value().size(1))), seed,
                prefix + "." + item.key());
}

}  // namespace cltrain
