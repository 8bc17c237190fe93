// Small single-precision matrix products of one thread, in tiles that stay in registers: the work
// horse of the kNN search and of the linear probe, whose products are too small or too narrow for
// at::mm (which hands them to MKL, at half this speed on AMD).
//
// Pure, any thread, no allocation. Every element of c is one sum over k in order, by fused
// multiply-adds where the machine has them: its bits depend on its row of a and its column of b
// only, not on where they lie in the tile, on `rows`, or on the number of threads and ranks.
#pragma once

#include <cstdint>

namespace cltrain {

/// Columns come in multiples of this.
constexpr int64_t kTileLane = 16;

/// a(m, k) = data[m * row + k * step]: row-major with step 1, the transpose with row 1.
struct TileView {
  const float* data;
  int64_t row, step;
};

/// c[m * c_row + n] = sum over k < depth of a(m, k) * b[k * b_row + n], for m < rows and
/// n < columns; `columns` is a multiple of kTileLane. `add`: added to what c holds.
void tile_product(const TileView& a, int64_t rows, const float* b, int64_t b_row, int64_t columns,
                  int64_t depth, float* c, int64_t c_row, bool add = false);

/// `count` rounded up to a multiple of kTileLane.
constexpr int64_t tile_columns(int64_t count) {
  return (count + kTileLane - 1) / kTileLane * kTileLane;
}

}  // namespace cltrain
