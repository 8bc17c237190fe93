#include "eval/global_neighbours.h"

#include "eval/nearest.h"
#include "ops/row_range.h"
#include "ops/unit_rows.h"

#include <algorithm>
#include <optional>

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

// The candidates of one query, ranks side by side, each part sorted already.
void merge(const float* similarity, const int64_t* label, int64_t k, int64_t parts,
           int64_t part_stride, std::vector<LabelledNeighbour>& best) {
  best.clear();
  for (int64_t part = 0; part < parts; ++part)
    for (int64_t j = 0; j < k && label[part * part_stride + j] >= 0; ++j)
      best.emplace_back(similarity[part * part_stride + j], label[part * part_stride + j]);
  // A stable sort keeps rank and position among equals.
  if (parts > 1)
    std::stable_sort(best.begin(), best.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
  if (static_cast<int64_t>(best.size()) > k) best.resize(static_cast<size_t>(k));
}

}  // namespace

void visit_neighbours(
    const Features& base, const Features& queries, int64_t k, const Communicator& communicator,
    const std::function<void(const std::vector<LabelledNeighbour>&, int64_t)>& visit) {
  const Base part(base);
  const int size = communicator.size(), rank = communicator.rank();
  const std::vector<int64_t> counts = communicator.all_gather_count(queries.labels.size(0));
  const at::Tensor all_queries = communicator.all_gather(unit_rows(queries.vectors).cpu(), counts);
  const at::Tensor all_labels = communicator.all_gather(queries.labels.cpu(), counts);
  const int64_t total = all_queries.size(0);
  std::vector<LabelledNeighbour> best;
  for (int64_t begin = 0; begin < total; begin += kChunk) {
    const int64_t rows = std::min(kChunk, total - begin);
    const Base::Found mine = part.search(all_queries.narrow(0, begin, rows), k);
    const at::Tensor similarity = communicator.all_gather_each(mine.similarity);
    const at::Tensor label = communicator.all_gather_each(mine.label);
    const RowRange share = rank_share(rows, rank, size);
    for (int64_t row = share.begin; row < share.end; ++row) {
      merge(similarity.const_data_ptr<float>() + row * k, label.const_data_ptr<int64_t>() + row * k,
            k, size, rows * k, best);
      visit(best, all_labels.const_data_ptr<int64_t>()[begin + row]);
    }
  }
}

}  // namespace cltrain
