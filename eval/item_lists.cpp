#include "eval/item_lists.h"

#include <algorithm>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

namespace cltrain {

ItemLists some_lists(const ItemLists& lists, int64_t begin, int64_t count) {
  const auto* at = lists.offsets.const_data_ptr<int64_t>();
  return {lists.offsets.narrow(0, begin, count + 1).sub(at[begin]),
          lists.ids.narrow(0, at[begin], at[begin + count] - at[begin])};
}

ItemLists empty_lists(int64_t n) {
  return {at::zeros({n + 1}, at::kLong), at::empty({0}, at::kInt)};
}

void check_item_lists(const ItemLists& lists, int64_t users, int64_t items, const char* who) {
  const at::Tensor &offsets = lists.offsets, &ids = lists.ids;
  TORCH_CHECK(offsets.defined() && ids.defined() && offsets.dim() == 1 && ids.dim() == 1 &&
                  offsets.scalar_type() == at::kLong && ids.scalar_type() == at::kInt &&
                  offsets.device().is_cpu() && ids.device().is_cpu() && offsets.is_contiguous() &&
                  ids.is_contiguous() && offsets.size(0) == users + 1,
              who, ": lists of items must be offsets [", users + 1,
              "] int64 and ids int32, contiguous on the CPU; received ", offsets.toString(), " ",
              offsets.defined() ? offsets.numel() : 0, " and ", ids.toString(), " ",
              ids.defined() ? ids.numel() : 0);
  const auto* at = offsets.const_data_ptr<int64_t>();
  TORCH_CHECK(at[0] == 0 && at[users] == ids.size(0) && std::is_sorted(at, at + users + 1), who,
              ": offsets of lists must begin with 0, not fall, and end with the number of ids, ",
              ids.size(0), "; they begin with ", at[0], " and end with ", at[users]);
  const auto* id = ids.const_data_ptr<int32_t>();
  for (int64_t user = 0; user < users; ++user)
    for (int64_t i = at[user]; i < at[user + 1]; ++i)
      TORCH_CHECK(id[i] >= 1 && id[i] <= items, who, ": list ", user, " has the item ", id[i],
                  "; allowed: 1 to ", items, " (0 is the pad)");
}

void sorted_once(std::span<const int32_t> list, std::vector<int32_t>& to) {
  to.assign(list.begin(), list.end());
  std::sort(to.begin(), to.end());
  to.erase(std::unique(to.begin(), to.end()), to.end());
}

}  // namespace cltrain
