// Which samples a step trains on, and which of them a rank holds. Pure functions of their
// arguments, the same on every rank; any thread.
#pragma once

#include <cstdint>
#include <vector>

namespace cltrain {

/// The positions 0 .. size - 1 in the order of one epoch: a Fisher-Yates shuffle with keyed draws
/// (ops/keyed_random.h, Purpose::kEpochOrder), every order equally likely. Requires size <= 2^32.
std::vector<int64_t> epoch_order(uint64_t seed, int64_t epoch, int64_t size);

/// Rows begin .. end - 1; may be empty.
struct RowRange {
  int64_t begin = 0, end = 0;
  int64_t count() const { return end - begin; }
};

/// The rows of a global batch that belong to `rank`: [floor(r B / W), floor((r + 1) B / W)), so
/// that the ranks' rows, one rank after the other, are the global batch in order.
RowRange rank_share(int64_t rows, int rank, int world_size);

/// The number of rows of every rank: rank_share(rows, r, world_size).count() for each r.
std::vector<int64_t> share_counts(int64_t rows, int world_size);

/// Batches an epoch; the last may be short unless `drop_last` leaves it out.
int64_t steps_per_epoch(int64_t size, int64_t global_batch, bool drop_last);

}  // namespace cltrain
