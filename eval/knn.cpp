#include "eval/knn.h"

#include "data/sampler.h"
#include "eval/nearest.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include <ATen/TensorOperators.h>

namespace cltrain {
namespace {

constexpr int64_t kChunk = 1024;  // queries searched at once

// This rank's part of the base, on the CPU or on a GPU.
class Base {
 public:
  explicit Base(const Features& base) : labels_(base.labels.cpu()) {
    const at::Tensor rows = unit_rows(base.vectors);
    if (rows.device().is_cpu())
      tiles_.emplace(rows);
    else
      rows_ = rows;
  }

  struct Found {
    at::Tensor similarity;  // [q, k] float32, -inf where the part is smaller than k
    at::Tensor label;       // [q, k] int64, -1 there
  };
  Found search(const at::Tensor& queries, int64_t k) const {
    const Neighbours near =
        tiles_ ? tiles_->search(queries, k) : nearest_by_topk(rows_, queries.to(rows_.device()), k);
    Found found{near.similarity.cpu(), near.position.cpu()};
    auto* label = found.label.mutable_data_ptr<int64_t>();
    const auto* known = labels_.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < found.label.numel(); ++i)
      if (label[i] >= 0) label[i] = known[label[i]];
    return found;
  }

 private:
  at::Tensor labels_, rows_;
  std::optional<TiledBase> tiles_;
};

// The votes of the k best candidates, ranks side by side; false if there are none.
class Vote {
 public:
  Vote(int64_t k, int64_t classes, double temperature)
      : k_(k), temperature_(temperature), votes_(static_cast<size_t>(classes)) {}

  bool count(const float* similarity, const int64_t* label, int64_t parts, int64_t part_stride) {
    all_.clear();
    for (int64_t part = 0; part < parts; ++part)
      for (int64_t j = 0; j < k_ && label[part * part_stride + j] >= 0; ++j)
        all_.emplace_back(similarity[part * part_stride + j], label[part * part_stride + j]);
    if (all_.empty()) return false;
    // Parts are sorted already; a stable sort keeps rank and position among equals.
    if (parts > 1)
      std::stable_sort(all_.begin(), all_.end(),
                       [](const auto& a, const auto& b) { return a.first > b.first; });
    if (static_cast<int64_t>(all_.size()) > k_) all_.resize(static_cast<size_t>(k_));
    std::fill(votes_.begin(), votes_.end(), 0.0);
    for (const auto& [value, owner] : all_)
      votes_[owner] += std::exp((value - all_.front().first) / temperature_);
    return true;
  }
  const double* votes() const { return votes_.data(); }

 private:
  int64_t k_;
  double temperature_;
  std::vector<double> votes_;  // [classes]
  std::vector<std::pair<float, int64_t>> all_;
};

}  // namespace

at::Tensor unit_rows(const at::Tensor& vectors) {
  return (vectors / vectors.norm(2, {1}, true).clamp_min(1e-12)).contiguous();
}

KnnResult knn_accuracy(const Features& base, const Features& queries, int64_t classes, int64_t k,
                       double temperature, const Communicator& communicator) {
  check_labels(base.labels, classes, "kNN, base");
  check_labels(queries.labels, classes, "kNN, queries");
  const Base part(base);
  const int size = communicator.size(), rank = communicator.rank();
  const std::vector<int64_t> counts = communicator.all_gather_count(queries.labels.size(0));
  const at::Tensor all_queries = communicator.all_gather(unit_rows(queries.vectors).cpu(), counts);
  const at::Tensor all_labels = communicator.all_gather(queries.labels.cpu(), counts);
  const int64_t total = all_queries.size(0);
  const std::vector<int64_t> one_each(static_cast<size_t>(size), 1);
  AccuracyTally tally(classes);
  Vote vote(k, classes, temperature);
  for (int64_t begin = 0; begin < total; begin += kChunk) {
    const int64_t rows = std::min(kChunk, total - begin);
    const Base::Found mine = part.search(all_queries.narrow(0, begin, rows), k);
    const at::Tensor similarity = communicator.all_gather(mine.similarity.unsqueeze(0), one_each);
    const at::Tensor label = communicator.all_gather(mine.label.unsqueeze(0), one_each);
    const RowRange share = rank_share(rows, rank, size);
    for (int64_t row = share.begin; row < share.end; ++row) {
      const int64_t own = all_labels.const_data_ptr<int64_t>()[begin + row];
      // A class whose vote is 0 (or underflowed to it) is no answer.
      if (vote.count(similarity.const_data_ptr<float>() + row * k,
                     label.const_data_ptr<int64_t>() + row * k, size, rows * k))
        tally.add(vote.votes(), own, std::numeric_limits<double>::min());
      else
        tally.add_wrong(own);
    }
  }
  return tally.total(communicator);
}

}  // namespace cltrain
