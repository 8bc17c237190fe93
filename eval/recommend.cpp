#include "eval/recommend.h"

#include <algorithm>
#include <limits>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

constexpr int64_t kUsers = 256;  // searched at once: a long list costs its neighbours only

at::Tensor checked_items(const at::Tensor& items) {
  TORCH_CHECK(items.dim() == 2 && items.size(0) >= 3 && items.scalar_type() == at::kFloat,
              "recommend: the item table must be [V, d] float32 with V >= 3; received ",
              items.sizes(), " ", items.scalar_type());
  TORCH_CHECK(at::isfinite(items).all().item<bool>(),
              "recommend: the item table holds values that are not finite: did the training "
              "diverge? Use an earlier checkpoint");
  return items.detach().narrow(0, 1, items.size(0) - 2);
}

}  // namespace

Recommender::Recommender(const at::Tensor& items) : items_(checked_items(items)) {
  if (items_.device().is_cpu()) tiles_.emplace(items_);
}

Recommendations Recommender::best(const at::Tensor& representations, int64_t k,
                                  const ItemLists& left_out) const {
  const at::Tensor& x = representations;
  TORCH_CHECK(x.dim() == 2 && x.size(1) == items_.size(1) && x.scalar_type() == at::kFloat &&
                  x.device() == items_.device() && k >= 1,
              "recommend: representations must be [n, ", items_.size(1), "] float32 on ",
              items_.device(), ", and k at least 1; received ", x.sizes(), " ", x.scalar_type(),
              " on ", x.device(), ", k ", k);
  TORCH_CHECK(at::isfinite(x).all().item<bool>(),
              "recommend: a representation is not finite: did the training diverge? Use an earlier "
              "checkpoint");
  const int64_t n = x.size(0);
  check_item_lists(left_out, n, items_.size(0), "recommend, items left out");
  Recommendations best{at::full({n, k}, -1, at::kLong),
                       at::full({n, k}, -std::numeric_limits<double>::infinity(), at::kFloat)};
  std::vector<std::vector<int32_t>> out(kUsers);
  for (int64_t begin = 0; begin < n; begin += kUsers) {
    const int64_t count = std::min(kUsers, n - begin);
    size_t longest = 0;
    for (int64_t u = 0; u < count; ++u) {
      sorted_once(left_out.of(begin + u), out[u]);
      longest = std::max(longest, out[u].size());
    }
    // Among so many there are k that stay, or all there are.
    const int64_t reach = std::min(k + static_cast<int64_t>(longest), items_.size(0));
    const at::Tensor some = x.narrow(0, begin, count);
    const Neighbours found =
        tiles_ ? tiles_->search(some, reach) : nearest_by_topk(items_, some, reach);
    const at::Tensor position = found.position.cpu(), score = found.similarity.cpu();
    const auto* at = position.const_data_ptr<int64_t>();
    const auto* scored = score.const_data_ptr<float>();
    for (int64_t u = 0; u < count; ++u) {
      auto* item = best.items.mutable_data_ptr<int64_t>() + (begin + u) * k;
      auto* value = best.scores.mutable_data_ptr<float>() + (begin + u) * k;
      for (int64_t j = 0, kept = 0; j < reach && kept < k; ++j) {
        const int64_t id = at[u * reach + j] + 1;
        if (id == 0 || std::binary_search(out[u].begin(), out[u].end(), id)) continue;
        item[kept] = id;
        value[kept++] = scored[u * reach + j];
      }
    }
  }
  return best;
}

}  // namespace cltrain
