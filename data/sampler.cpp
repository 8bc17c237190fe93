#include "data/sampler.h"

#include "ops/keyed_random.h"

#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

namespace cltrain {

std::vector<int64_t> epoch_order(uint64_t seed, int64_t epoch, int64_t size) {
  if (epoch < 0 || size < 0)
    throw std::invalid_argument("epoch_order: epoch " + std::to_string(epoch) + ", size " +
                                std::to_string(size) + "; allowed: 0 or more");
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), int64_t{0});
  KeyedStream stream(random_key(seed, Purpose::kEpochOrder, static_cast<uint64_t>(epoch)), 0, 0, 0);
  for (size_t left = order.size(); left > 1; --left)
    std::swap(order[left - 1], order[stream.below(left)]);
  return order;
}

RowRange rank_share(int64_t rows, int rank, int world_size) {
  if (rows < 0 || world_size < 1 || rank < 0 || rank >= world_size)
    throw std::invalid_argument("rank_share: rank " + std::to_string(rank) + " of " +
                                std::to_string(world_size) + ", " + std::to_string(rows) +
                                " rows; allowed: ranks 0 to world size - 1, rows >= 0");
  return {rank * rows / world_size, (rank + 1) * rows / world_size};
}

std::vector<int64_t> share_counts(int64_t rows, int world_size) {
  std::vector<int64_t> counts;
  for (int rank = 0; rank < world_size; ++rank)
    counts.push_back(rank_share(rows, rank, world_size).count());
  return counts;
}

int64_t steps_per_epoch(int64_t size, int64_t global_batch, bool drop_last) {
  if (size < 0 || global_batch < 1)
    throw std::invalid_argument("steps_per_epoch: " + std::to_string(size) +
                                " samples in global batches of " + std::to_string(global_batch) +
                                "; allowed: 0 or more, 1 or more");
  return drop_last ? size / global_batch : (size + global_batch - 1) / global_batch;
}

}  // namespace cltrain
