#include "eval/ranking_negatives.h"

#include <algorithm>
#include <limits>

#include <c10/util/Exception.h>

namespace cltrain {

NegativeSampler::NegativeSampler(int64_t items, int64_t count, PhiloxKey key,
                                 const at::Tensor& popularity)
    : items_(items), count_(count), key_(key), occurring_(items) {
  TORCH_CHECK(
      items >= 1 && items < std::numeric_limits<int32_t>::max() && count >= 1,
      "sampled ranking: at least one item (and fewer than 2^31) and one negative a user are "
      "needed; received ",
      items, " items, ", count, " negatives");
  if (!popularity.defined()) return;
  TORCH_CHECK(popularity.dim() == 1 && popularity.size(0) == items + 2 &&
                  popularity.scalar_type() == at::kLong && popularity.device().is_cpu(),
              "sampled ranking: popularity must be [", items + 2,
              "] int64 on the CPU, one count an id; received ", popularity.sizes(), " ",
              popularity.scalar_type());
  const at::Tensor counts = popularity.contiguous();
  const auto* occurs = counts.const_data_ptr<int64_t>();
  until_.resize(static_cast<size_t>(items + 1));
  occurring_ = 0;
  for (int64_t id = 1; id <= items; ++id) {
    TORCH_CHECK(occurs[id] >= 0, "sampled ranking: item ", id, " occurs ", occurs[id], " times");
    until_[id] = until_[id - 1] + occurs[id];
    occurring_ += occurs[id] > 0;
  }
  TORCH_CHECK(until_.back() <= int64_t{1} << 32,
              "sampled ranking: negatives by popularity are drawn out of at most 2^32 occurrences; "
              "received ",
              until_.back(), ": draw them uniformly");
}

int64_t NegativeSampler::drawable(const std::vector<int32_t>& excluded) const {
  return occurring_ - std::count_if(excluded.begin(), excluded.end(), [&](int32_t id) {
           return until_.empty() || until_[id] > until_[id - 1];
         });
}

int32_t NegativeSampler::one(KeyedStream& stream) const {
  if (until_.empty()) return static_cast<int32_t>(1 + stream.below(items_));
  const auto place = static_cast<int64_t>(stream.below(until_.back()));
  return static_cast<int32_t>(std::upper_bound(until_.begin(), until_.end(), place) -
                              until_.begin());
}

void NegativeSampler::draw(int64_t user, std::span<const int32_t> history, int32_t answer,
                           int32_t* negatives) const {
  std::vector<int32_t> excluded(history.begin(), history.end());
  excluded.push_back(answer);
  std::sort(excluded.begin(), excluded.end());
  excluded.erase(std::unique(excluded.begin(), excluded.end()), excluded.end());
  TORCH_CHECK(drawable(excluded) >= count_, "sampled ranking: user number ", user, " (from 0) has ",
              drawable(excluded), " items to draw ", count_,
              " negatives from: ask for fewer (eval.sampled), or rank all items (0)");
  KeyedStream stream(key_, static_cast<uint64_t>(user), 0, 0);
  for (int64_t n = 0; n < count_;) {
    const int32_t id = one(stream);
    if (std::binary_search(excluded.begin(), excluded.end(), id)) continue;
    if (std::find(negatives, negatives + n, id) != negatives + n) continue;
    negatives[n++] = id;
  }
}

}  // namespace cltrain
