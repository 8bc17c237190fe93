// Matrix products of a few rows on the calling thread, inlined into functions marked CLTRAIN_SIMD:
// where a library's call costs more than the product, or would bring its own threads.
#pragma once

#include "ops/simd_vectors.h"

namespace cltrain {

/// c [rows][columns] = sum over t of a[r row_step + t term_step] b[t][c], or added to c.
template <class Real>
struct SmallProduct {
  int64_t rows, columns, terms;
  const Real* a;
  int64_t row_step, term_step;
  const Real* b;
  int64_t b_stride;
  Real* c;
  int64_t c_stride;
  bool add = false;
};

template <class Real, int kRows, int kVectors>
[[gnu::always_inline]] inline void product_block(const SmallProduct<Real>& p, int64_t row,
                                                 int64_t column) {
  using Vector = typename Lanes<Real>::Vector;
  constexpr int kCount = Lanes<Real>::kCount;
  Vector sums[kRows][kVectors] = {};
  const Real* a = p.a + row * p.row_step;
  const Real* b = p.b + column;
  for (int64_t t = 0; t < p.terms; ++t, a += p.term_step, b += p.b_stride) {
    Vector term[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) load(b + v * kCount, term[v]);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[r][v] += a[r * p.row_step] * term[v];
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      Real* c = p.c + (row + r) * p.c_stride + column + v * kCount;
      if (p.add) {
        Vector before;
        load(static_cast<const Real*>(c), before);
        sums[r][v] += before;
      }
      store<Real>(sums[r][v], c);
    }
}

template <class Real, int kRows>
[[gnu::always_inline]] inline void product_rows(const SmallProduct<Real>& p, int64_t row) {
  constexpr int kCount = Lanes<Real>::kCount;
  int64_t column = 0;
  for (; column + 2 * kCount <= p.columns; column += 2 * kCount)
    product_block<Real, kRows, 2>(p, row, column);
  for (; column + kCount <= p.columns; column += kCount)
    product_block<Real, kRows, 1>(p, row, column);
  for (; column < p.columns; ++column)
    for (int r = 0; r < kRows; ++r) {
      Real sum = 0;
      for (int64_t t = 0; t < p.terms; ++t)
        sum += p.a[(row + r) * p.row_step + t * p.term_step] * p.b[t * p.b_stride + column];
      Real& c = p.c[(row + r) * p.c_stride + column];
      c = p.add ? c + sum : sum;
    }
}

template <class Real>
[[gnu::always_inline]] inline void multiply_small(const SmallProduct<Real>& p) {
  constexpr int kRows = 4;  // of two vectors each: eight accumulators
  int64_t row = 0;
  for (; row + kRows <= p.rows; row += kRows) product_rows<Real, kRows>(p, row);
  for (; row < p.rows; ++row) product_rows<Real, 1>(p, row);
}

}  // namespace cltrain
