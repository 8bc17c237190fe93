#include "eval/tile_product.h"

namespace cltrain {
namespace {

// Vectors of the compiler; `Memory` may lie anywhere. The members of a struct, because template
// arguments lose the attributes of a type.
template <int kBytes>
struct Vector {
  typedef float Register __attribute__((vector_size(kBytes)));
  typedef float Memory __attribute__((vector_size(kBytes), aligned(4), may_alias));
  static constexpr int64_t kWidth = kBytes / 4;
};

struct Job {
  TileView a;
  const float* b;
  int64_t b_row, depth;
  float* c;
  int64_t c_row;
  bool add;
};

// kRows x kVectors accumulators, which must fit the registers beside one row of b.
template <class V, int kRows, int kVectors>
[[gnu::always_inline]] inline void tile(const Job& job, int64_t row, int64_t column) {
  using Register = typename V::Register;
  using Memory = typename V::Memory;
  const float* a = job.a.data + row * job.a.row;
  const float* b = job.b + column;
  float* c = job.c + row * job.c_row + column;
  Register sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      sum[r][v] =
          job.add ? Register(*reinterpret_cast<const Memory*>(c + r * job.c_row + v * V::kWidth))
                  : Register{};
  for (int64_t k = 0; k < job.depth; ++k, a += job.a.step, b += job.b_row) {
    Register line[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      line[v] = *reinterpret_cast<const Memory*>(b + v * V::kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sum[r][v] += a[r * job.a.row] * line[v];
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      *reinterpret_cast<Memory*>(c + r * job.c_row + v * V::kWidth) = sum[r][v];
}

template <class V, int kRows, int kVectors>
[[gnu::always_inline]] inline int64_t stripe(const Job& job, int64_t rows, int64_t column) {
  int64_t row = 0;
  for (; row + kRows <= rows; row += kRows) tile<V, kRows, kVectors>(job, row, column);
  for (; row < rows; ++row) tile<V, 1, kVectors>(job, row, column);
  return column + kVectors * V::kWidth;
}

template <class V, int kRows>
[[gnu::always_inline]] inline void all_tiles(const Job& job, int64_t rows, int64_t columns) {
  int64_t column = 0;
  while (column + 3 * V::kWidth <= columns) column = stripe<V, kRows, 3>(job, rows, column);
  while (column + 2 * V::kWidth <= columns) column = stripe<V, kRows, 2>(job, rows, column);
  while (column < columns) column = stripe<V, kRows, 1>(job, rows, column);
}

// By hand rather than by CLTRAIN_SIMD: the shape of the tile follows the number of registers.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
[[gnu::target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,prefer-vector-width=512")]] void
tiles_avx512(const Job& job, int64_t rows, int64_t columns) {
  all_tiles<Vector<64>, 8>(job, rows, columns);
}
[[gnu::target("avx2,fma")]] void tiles_avx2(const Job& job, int64_t rows, int64_t columns) {
  all_tiles<Vector<32>, 4>(job, rows, columns);
}
#endif
void tiles_baseline(const Job& job, int64_t rows, int64_t columns) {
  all_tiles<Vector<16>, 4>(job, rows, columns);
}

}  // namespace

void tile_product(const TileView& a, int64_t rows, const float* b, int64_t b_row, int64_t columns,
                  int64_t depth, float* c, int64_t c_row, bool add) {
  const Job job{a, b, b_row, depth, c, c_row, add};
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  // The same conditions as simd_path().
  if (__builtin_cpu_supports("x86-64-v4")) return tiles_avx512(job, rows, columns);
  if (__builtin_cpu_supports("x86-64-v3")) return tiles_avx2(job, rows, columns);
#endif
  tiles_baseline(job, rows, columns);
}

}  // namespace cltrain
