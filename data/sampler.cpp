#include "data/sampler.h"

#include "ops/keyed_random.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace cltrain {

std::vector<int64_t> epoch_order(uint64_t seed, int64_t epoch, int64_t size) {
  if (epoch < 0 || size < 0)
    throw std::invalid_argument("epoch_order: epoch " + std::to_string(epoch) + ", size " +
                                std::to_string(size) + "; allowed: 0 or more");
  return keyed_permutation(random_key(seed, Purpose::kEpochOrder, static_cast<uint64_t>(epoch)),
                           size);
}

std::vector<int64_t> BatchCut::chunk_rows(int64_t chunk) const {
  std::vector<int64_t> counts;
  for (const RowRange& rows : share.at(static_cast<size_t>(chunk))) counts.push_back(rows.count());
  return counts;
}

std::vector<int64_t> BatchCut::rank_rows(int64_t leading) const {
  std::vector<int64_t> counts(share.at(0).size(), 0);
  for (const std::vector<RowRange>& ranks : share)
    for (size_t rank = 0; rank < ranks.size(); ++rank)
      counts[rank] += std::clamp<int64_t>(leading - ranks[rank].begin, 0, ranks[rank].count());
  return counts;
}

std::vector<int64_t> BatchCut::gathered_places() const {
  std::vector<int64_t> places(static_cast<size_t>(share.back().back().end));
  int64_t next = 0;
  for (size_t rank = 0; rank < share.at(0).size(); ++rank)
    for (const std::vector<RowRange>& ranks : share)
      for (int64_t row = ranks[rank].begin; row < ranks[rank].end; ++row)
        places[static_cast<size_t>(row)] = next++;
  return places;
}

BatchCut cut_batch(int64_t global_rows, int64_t micro_batch, int world_size) {
  if (global_rows < 0 || micro_batch < 0 || world_size < 1)
    throw std::invalid_argument("cut_batch: " + std::to_string(global_rows) +
                                " rows in chunks of " + std::to_string(micro_batch) + " over " +
                                std::to_string(world_size) +
                                " ranks; allowed: 0 or more, 0 or more, 1 or more");
  const bool whole = micro_batch == 0 || micro_batch >= global_rows;
  const int64_t size = whole ? std::max<int64_t>(global_rows, 1) : micro_batch;
  BatchCut cut;
  for (int64_t begin = 0; begin == 0 || begin < global_rows; begin += size) {
    const int64_t rows = std::min(size, global_rows - begin);
    std::vector<RowRange>& ranks = cut.share.emplace_back();
    for (int rank = 0; rank < world_size; ++rank) {
      const RowRange share = rank_share(rows, rank, world_size);
      ranks.push_back({begin + share.begin, begin + share.end});
    }
  }
  return cut;
}

int64_t steps_per_epoch(int64_t size, int64_t global_batch, bool drop_last) {
  if (size < 0 || global_batch < 1)
    throw std::invalid_argument("steps_per_epoch: " + std::to_string(size) +
                                " samples in global batches of " + std::to_string(global_batch) +
                                "; allowed: 0 or more, 1 or more");
  return drop_last ? size / global_batch : (size + global_batch - 1) / global_batch;
}

}  // namespace cltrain
