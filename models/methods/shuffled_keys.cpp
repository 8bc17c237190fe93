#include "models/methods/shuffled_keys.h"

#include "dist/take_rows.h"
#include "ops/keyed_random.h"
#include "ops/row_range.h"

#include <c10/core/GradMode.h>

namespace cltrain {

at::Tensor encode_shuffled(const at::Tensor& images, const StepContext& context,
                           const std::function<at::Tensor(const at::Tensor&)>& encode) {
  const c10::NoGradGuard no_grad;
  const Communicator& ranks = *context.communicators.loss;
  const int64_t total = context.global_rows();
  const std::vector<int64_t> order = keyed_permutation(
      random_key(context.seed, Purpose::kShuffle, static_cast<uint64_t>(context.step)), total);
  std::vector<int64_t> place(order.size());  // of every row in the shuffled batch
  for (size_t i = 0; i < order.size(); ++i)
    place[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  // A chunk is cut over the ranks by rank_share, so its rows stand in order, rank after rank.
  const RowRange own = rank_share(total, ranks.rank(), ranks.size());
  const auto part = [&](const std::vector<int64_t>& rows) {
    return std::vector<int64_t>(rows.begin() + own.begin, rows.begin() + own.end);
  };
  const at::Tensor keys = encode(take_rows(images, part(order), context.rows, ranks));
  return take_rows(keys, part(place), context.rows, ranks);
}

}  // namespace cltrain
