// ItemRanking in LibTorch's own operators: float64, and tensors on a GPU.
#include "eval/ranking.h"

#include <algorithm>
#include <limits>

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

namespace cltrain {
namespace {

constexpr int64_t kUsers = 256;                // of a chunk, as a usual batch of the encoder
constexpr int64_t kScores = int64_t{1} << 26;  // of a chunk, so that large tables fit

// Full precision, no graph, whatever surrounds the call.
struct Plain {
  const c10::NoGradGuard no_grad;
  const at::NoTF32Guard no_tf32;
  const c10::impl::ExcludeDispatchKeyGuard no_autocast{c10::autocast_dispatch_keyset};
};

/// Rows begin .. begin + size - 1, where there are no such rows filled up with `value`: every chunk
/// has one shape, so that it is multiplied by the same kernel.
at::Tensor chunk_of(const at::Tensor& all, int64_t begin, int64_t size, double value) {
  const int64_t count = std::min(size, all.size(0) - begin);
  std::vector<int64_t> pad(static_cast<size_t>(2 * all.dim()), 0);
  pad.back() = size - count;
  return at::constant_pad_nd(all.narrow(0, begin, count), pad, value);
}

/// Of users begin .. end - 1: row of the chunk and column of the scores of all they have seen.
struct Places {
  at::Tensor row, column;
};
Places seen_places(const ItemLists& history, int64_t begin, int64_t end, int64_t first) {
  std::vector<int64_t> rows, columns;
  for (int64_t user = begin; user < end; ++user)
    for (const int32_t id : history.of(user)) {
      rows.push_back(user - begin);
      columns.push_back(id - first);
    }
  const auto tensor = [](const std::vector<int64_t>& from) {
    at::Tensor to = at::empty({static_cast<int64_t>(from.size())}, at::kLong);
    std::copy(from.begin(), from.end(), to.mutable_data_ptr<int64_t>());
    return to;
  };
  return {tensor(rows), tensor(columns)};
}

// 1 + the number of candidates in each row of `score` ahead of the answer; `target`, `answer` [n,
// 1].
at::Tensor count_ahead(const at::Tensor& score, const at::Tensor& id, const at::Tensor& target,
                       const at::Tensor& answer) {
  const at::Tensor tied = score.eq(target).logical_and_(id.lt(answer));
  return score.gt(target).logical_or_(tied).sum(1).add_(1).cpu();
}

}  // namespace

at::Tensor ItemRanking::full_by_torch(const RankingQueries& queries) const {
  const Plain plain;
  const int64_t n = queries.representations.size(0);
  const int64_t size = std::clamp<int64_t>(kScores / candidates_, 1, kUsers);
  const at::Tensor columns = items_.narrow(0, first_, candidates_).t();
  const at::Tensor id = at::arange(candidates_, items_.options().dtype(at::kLong)).unsqueeze(0);
  std::vector<at::Tensor> ranks;
  for (int64_t begin = 0; begin < n; begin += size) {
    const int64_t count = std::min(size, n - begin);
    const at::Tensor score =
        chunk_of(queries.representations, begin, size, 0).mm(columns);  // [size, candidates]
    if (options_.history != "keep") {
      const Places seen = seen_places(queries.history, begin, begin + count, first_);
      const double value =
          options_.history == "zero" ? 0.0 : -std::numeric_limits<double>::infinity();
      score.index_put_({seen.row.to(score.device()), seen.column.to(score.device())},
                       at::full({}, value, score.options()));
    }
    const at::Tensor answer = chunk_of(queries.answers, begin, size, static_cast<double>(first_))
                                  .sub(first_)
                                  .unsqueeze(1)
                                  .to(score.device());
    const at::Tensor target = score.gather(1, answer);
    ranks.push_back(count_ahead(score, id, target, answer).narrow(0, 0, count));
  }
  return at::cat(ranks);
}

at::Tensor ItemRanking::sampled_by_torch(const RankingQueries& queries,
                                         const std::vector<uint8_t>& again) const {
  const Plain plain;
  const int64_t n = queries.representations.size(0), drawn = negatives_->count();
  const auto* users = queries.users.const_data_ptr<int64_t>();
  const auto* answers = queries.answers.const_data_ptr<int64_t>();
  const bool zero = options_.history == "zero";
  std::vector<at::Tensor> ranks;
  for (int64_t begin = 0; begin < n; begin += kUsers) {
    const int64_t count = std::min(kUsers, n - begin);
    at::Tensor ids = at::empty({count, drawn + 1}, at::kInt);  // the answer last
    at::Tensor lost = at::empty({count, 1}, at::kBool);        // its score counts as 0
    for (int64_t u = 0; u < count; ++u) {
      auto* id = ids.mutable_data_ptr<int32_t>() + u * (drawn + 1);
      id[drawn] = static_cast<int32_t>(answers[begin + u]);
      negatives_->draw(users[begin + u], queries.history.of(begin + u), id[drawn], id);
      lost.mutable_data_ptr<bool>()[u] = zero && again[begin + u];
    }
    const at::Tensor id = ids.to(items_.device());
    const at::Tensor rows = items_.index_select(0, id.view(-1)).view({count, drawn + 1, -1});
    const at::Tensor score =
        rows.mul(queries.representations.narrow(0, begin, count).unsqueeze(1)).sum(2);
    const at::Tensor target = score.narrow(1, drawn, 1).masked_fill(lost.to(score.device()), 0.0);
    ranks.push_back(count_ahead(score.narrow(1, 0, drawn), id.narrow(1, 0, drawn), target,
                                id.narrow(1, drawn, 1)));
  }
  return at::cat(ranks);
}

}  // namespace cltrain
