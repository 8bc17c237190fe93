// c [m][n] (+)= a [m][k] b [k][n] on the calling thread, for tiles of a network's tokens: oneDNN's
// micro-kernel through at::native::cpublas::brgemm in float32, ops/small_product.h in float64, as a
// BLAS would bring its threads. Tall narrow products reach three times the speed of at::mm so.
// m, n, k > 0.
#pragma once

#include <cstdint>

namespace cltrain {

template <class Real>
struct TileProduct {
  int64_t m, n, k;
  const Real* a;
  int64_t a_stride;
  const Real* b;
  int64_t b_stride;
  Real* c;
  int64_t c_stride;
  bool add;  ///< to what c holds
};
void multiply_tile(const TileProduct<float>& product);
void multiply_tile(const TileProduct<double>& product);

/// Each thread that multiplied calls this when it is done.
void release_tile_products();

}  // namespace cltrain
