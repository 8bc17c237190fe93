#include "ops/tile_product.h"

#include "ops/simd.h"
#include "ops/small_product.h"

#include <ATen/native/CPUBlas.h>

namespace cltrain {

void multiply_tile(const TileProduct<float>& p) {
  at::native::cpublas::brgemm(p.m, p.n, p.k, p.a_stride, p.b_stride, p.c_stride, p.add, p.a, p.b,
                              p.c);
}

CLTRAIN_SIMD void multiply_tile(const TileProduct<double>& p) {
  multiply_small<double>(
      {p.m, p.n, p.k, p.a, p.a_stride, 1, p.b, p.b_stride, p.c, p.c_stride, p.add});
}

void release_tile_products() {
  at::native::cpublas::brgemm_release(/*is_vnni=*/false);
}

}  // namespace cltrain
