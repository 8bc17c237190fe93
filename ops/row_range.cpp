#include "ops/row_range.h"

#include <stdexcept>
#include <string>

namespace cltrain {

RowRange rank_share(int64_t rows, int rank, int world_size) {
  if (rows < 0 || world_size < 1 || rank < 0 || rank >= world_size)
    throw std::invalid_argument("rank_share: rank " + std::to_string(rank) + " of " +
                                std::to_string(world_size) + ", " + std::to_string(rows) +
                                " rows; allowed: ranks 0 to world size - 1, rows >= 0");
  return {rank * rows / world_size, (rank + 1) * rows / world_size};
}

}  // namespace cltrain
