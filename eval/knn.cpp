#include "eval/knn.h"

#include "data/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <c10/util/Exception.h>
#include <faiss/IndexFlat.h>

namespace cltrain {
namespace {

constexpr int64_t kChunk = 1024;  // queries searched at once

at::Tensor unit_rows(const at::Tensor& vectors) {
  return (vectors / vectors.norm(2, {1}, true).clamp_min(1e-12)).contiguous();
}

struct Candidates {
  at::Tensor similarity;  // [q, k] float32, -inf where the part is smaller than k
  at::Tensor label;       // [q, k] int64
};

Candidates search(const faiss::IndexFlatIP& index, const at::Tensor& labels,
                  const at::Tensor& queries, int64_t k) {
  const int64_t rows = queries.size(0);
  Candidates found{at::full({rows, k}, -std::numeric_limits<float>::infinity(), at::kFloat),
                   at::full({rows, k}, -1, at::kLong)};
  const int64_t reach = std::min<int64_t>(k, index.ntotal);
  if (rows == 0 || reach == 0) return found;
  std::vector<float> similarity(rows * reach);
  std::vector<faiss::Index::idx_t> place(rows * reach);
  index.search(rows, queries.const_data_ptr<float>(), reach, similarity.data(), place.data());
  auto* to = found.similarity.mutable_data_ptr<float>();
  auto* label = found.label.mutable_data_ptr<int64_t>();
  const auto* known = labels.const_data_ptr<int64_t>();
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t j = 0; j < reach; ++j) {
      if (place[row * reach + j] < 0) continue;  // faiss finds no neighbour of a NaN
      to[row * k + j] = similarity[row * reach + j];
      label[row * k + j] = known[place[row * reach + j]];
    }
  return found;
}

// The class with the heaviest vote of the k best candidates, ranks side by side; -1 without any.
int64_t vote(const float* similarity, const int64_t* label, int64_t parts, int64_t part_stride,
             int64_t k, int64_t classes, double temperature) {
  std::vector<std::pair<float, int64_t>> all;
  for (int64_t part = 0; part < parts; ++part)
    for (int64_t j = 0; j < k; ++j)
      if (label[part * part_stride + j] >= 0)
        all.emplace_back(similarity[part * part_stride + j], label[part * part_stride + j]);
  const auto heavier = [](const auto& a, const auto& b) { return a.first > b.first; };
  std::stable_sort(all.begin(), all.end(), heavier);
  if (all.empty()) return -1;
  if (static_cast<int64_t>(all.size()) > k) all.resize(k);
  std::vector<double> votes(classes, 0.0);
  for (const auto& [value, owner] : all)
    votes[owner] += std::exp((value - all.front().first) / temperature);
  return std::max_element(votes.begin(), votes.end()) - votes.begin();
}

void check_labels(const at::Tensor& labels, int64_t classes, const char* which) {
  if (labels.numel() == 0) return;
  const auto low = labels.min().item<int64_t>(), high = labels.max().item<int64_t>();
  TORCH_CHECK(low >= 0 && high < classes, "kNN: labels of the ", which, " range from ", low, " to ",
              high, "; allowed: 0 to ", classes - 1);
}

}  // namespace

KnnResult knn_accuracy(const Features& base, const Features& queries, int64_t classes, int64_t k,
                       double temperature, const Communicator& communicator) {
  check_labels(base.labels, classes, "base");
  check_labels(queries.labels, classes, "queries");
  const at::Tensor base_rows = unit_rows(base.vectors);
  faiss::IndexFlatIP index(static_cast<int>(base_rows.size(1)));
  if (base_rows.size(0) > 0) index.add(base_rows.size(0), base_rows.const_data_ptr<float>());
  const int size = communicator.size(), rank = communicator.rank();
  const std::vector<int64_t> counts = communicator.all_gather_count(queries.labels.size(0));
  const at::Tensor all_queries = communicator.all_gather(unit_rows(queries.vectors), counts);
  const at::Tensor all_labels = communicator.all_gather(queries.labels, counts);
  const int64_t total = all_queries.size(0);
  int64_t right = 0;
  for (int64_t begin = 0; begin < total; begin += kChunk) {
    const int64_t rows = std::min(kChunk, total - begin);
    const Candidates mine = search(index, base.labels, all_queries.narrow(0, begin, rows), k);
    const std::vector<int64_t> one_each(size, 1);
    const at::Tensor similarity = communicator.all_gather(mine.similarity.unsqueeze(0), one_each);
    const at::Tensor label = communicator.all_gather(mine.label.unsqueeze(0), one_each);
    const RowRange share = rank_share(rows, rank, size);
    for (int64_t row = share.begin; row < share.end; ++row)
      right += vote(similarity.const_data_ptr<float>() + row * k,
                    label.const_data_ptr<int64_t>() + row * k, size, rows * k, k, classes,
                    temperature) == all_labels.const_data_ptr<int64_t>()[begin + row];
  }
  at::Tensor sum = at::full({1}, right, at::kLong);
  communicator.all_reduce_sum(sum);
  const auto hits = static_cast<double>(sum.item<int64_t>());
  return {total ? hits / static_cast<double>(total) : 0.0, total};
}

}  // namespace cltrain
