// Which samples a step trains on, and which of them a rank holds. Pure functions of their
// arguments, the same on every rank; any thread.
#pragma once

#include "ops/row_range.h"

#include <cstdint>
#include <limits>
#include <vector>

namespace cltrain {

/// The positions 0 .. size - 1 in the order of one epoch: a Fisher-Yates shuffle with keyed draws
/// (ops/keyed_random.h, Purpose::kEpochOrder), every order equally likely. Requires size <= 2^32.
std::vector<int64_t> epoch_order(uint64_t seed, int64_t epoch, int64_t size);

/// How a global batch is cut: in order into chunks, and every chunk over the ranks by rank_share.
///
/// A rank's rows are those of its chunks, one after the other, and so rise; they are one run of the
/// global batch only if there is one chunk. The rows of all ranks, one rank after the other, are a
/// permutation of the global batch (the batch in order with one chunk): who needs the order of the
/// batch asks gathered_places().
struct BatchCut {
  std::vector<std::vector<RowRange>> share;  ///< [chunk][rank]: rows of the global batch

  int64_t chunks() const { return static_cast<int64_t>(share.size()); }
  /// Rows of every rank in one chunk.
  std::vector<int64_t> chunk_rows(int64_t chunk) const;
  /// Rows of every rank among the first `leading` of the global batch: the rank's own first ones.
  std::vector<int64_t> rank_rows(int64_t leading = std::numeric_limits<int64_t>::max()) const;
  /// For every row of the global batch, its place among the rows of all ranks, rank after rank.
  std::vector<int64_t> gathered_places() const;
};

/// Chunks of `micro_batch` rows, of which the last may have fewer; with 0 the whole batch is one.
/// There is at least one chunk.
BatchCut cut_batch(int64_t global_rows, int64_t micro_batch, int world_size);

/// Batches an epoch; the last may be short unless `drop_last` leaves it out.
int64_t steps_per_epoch(int64_t size, int64_t global_batch, bool drop_last);

}  // namespace cltrain
