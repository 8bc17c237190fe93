// How many rows of something are shared out over ranks, or over the slices of a batch: in order,
// and as evenly as whole rows allow. Pure functions; any thread.
#pragma once

#include <cstdint>

namespace cltrain {

/// Rows begin .. end - 1; may be empty.
struct RowRange {
  int64_t begin = 0, end = 0;
  int64_t count() const { return end - begin; }
};

/// The part of B = `rows` rows that belongs to `rank`: [floor(r B / W), floor((r + 1) B / W)), so
/// that the ranks' rows, one rank after the other, are all of them in order.
RowRange rank_share(int64_t rows, int rank, int world_size);

}  // namespace cltrain
