#include "ops/lse_tile.h"

#include "ops/simd.h"
#include "ops/simd_vectors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

namespace cltrain {
namespace {

using cltrain::store;  // beside the one for bfloat16 below

template <class Real>
[[gnu::always_inline]] inline void to_base2(typename Lanes<Real>::Vector& s,
                                            const Base2Scale<Real>& scale, Real reference) {
  s = (s * scale.high - reference) + s * scale.low;
}
template <class Real>
[[gnu::always_inline]] inline void to_base2(typename Lanes<Real>::Vector& s,
                                            const Base2Scale<Real>& scale,
                                            const typename Lanes<Real>::Vector& reference) {
  s = (s * scale.high - reference) + s * scale.low;
}

template <class Real>
[[gnu::always_inline]] inline LogitRange<Real> range(const Tile<Real>& tile) {
  LogitRange<Real> found{std::numeric_limits<Real>::infinity(),
                         -std::numeric_limits<Real>::infinity()};
  for (int64_t row = 0; row < tile.rows; ++row) {
    const Real* s = tile.s + row * tile.stride;
#pragma omp simd
    for (int64_t column = 0; column < tile.columns; ++column) {
      found.lowest = s[column] < found.lowest ? s[column] : found.lowest;
      found.highest = s[column] > found.highest ? s[column] : found.highest;
    }
  }
  return found;
}

template <class Real, bool kColumns>
[[gnu::always_inline]] inline void shared_sums(const Tile<Real>& tile, Base2Scale<Real> scale,
                                               Real reference, double* row_sums,
                                               double* column_sums) {
  using Vector = typename Lanes<Real>::Vector;
  constexpr int kCount = Lanes<Real>::kCount;
  Vector columns[kTileColumns / kCount] = {};
  for (int64_t row = 0; row < tile.rows; ++row) {
    const Real* s = tile.s + row * tile.stride;
    Vector sum = {};
    for (int64_t at = 0; at < tile.stride / kCount; ++at) {
      Vector x;
      load(s + at * kCount, x);
      to_base2<Real>(x, scale, reference);
      exp2_in_place<Real>(x);
      sum += x;
      if constexpr (kColumns) columns[at] += x;
    }
    row_sums[row] = total<Real>(sum);
  }
  if constexpr (kColumns)
    for (int64_t at = 0; at < tile.stride; ++at)
      column_sums[at] = columns[at / kCount][at % kCount];
}

template <class Real>
[[gnu::always_inline]] inline void row_sums_apart(const Tile<Real>& tile, Base2Scale<Real> scale,
                                                  Real* references, double* sums) {
  using Vector = typename Lanes<Real>::Vector;
  constexpr int kCount = Lanes<Real>::kCount;
  for (int64_t row = 0; row < tile.rows; ++row) {
    const Real* s = tile.s + row * tile.stride;
    Real highest = s[0];
    for (int64_t at = 1; at < tile.stride; ++at) highest = s[at] > highest ? s[at] : highest;
    // Without an allowed column every term has to vanish.
    references[row] = highest > kMaskedProduct / 2 ? highest * scale.high : 0;
    Vector sum = {};
    for (int64_t at = 0; at < tile.stride; at += kCount) {
      Vector x;
      load(s + at, x);
      to_base2<Real>(x, scale, references[row]);
      exp2_in_place<Real>(x);
      sum += x;
    }
    sums[row] = total<Real>(sum);
  }
}

template <class Real>
[[gnu::always_inline]] inline void column_sums_apart(const Tile<Real>& tile, Base2Scale<Real> scale,
                                                     Real* references, double* sums) {
  using Vector = typename Lanes<Real>::Vector;
  constexpr int kCount = Lanes<Real>::kCount;
  for (int64_t at = 0; at < tile.stride; at += kCount) {
    Vector highest;
    load(tile.s + at, highest);
    for (int64_t row = 1; row < tile.rows; ++row) {
      Vector s;
      load(tile.s + row * tile.stride + at, s);
      highest = s > highest ? s : highest;
    }
    const Vector reference = highest > Vector{} + static_cast<Real>(kMaskedProduct / 2)
                                 ? highest * scale.high
                                 : Vector{};
    Vector sum = {};
    for (int64_t row = 0; row < tile.rows; ++row) {
      Vector x;
      load(tile.s + row * tile.stride + at, x);
      to_base2<Real>(x, scale, reference);
      exp2_in_place<Real>(x);
      sum += x;
    }
    store(reference, references + at);
    for (int lane = 0; lane < kCount; ++lane) sums[at + lane] = sum[lane];
  }
}

// Lane l of `low`/`high` after two rows that are `kStep` apart have swapped their off-diagonal
// blocks of kStep lanes; all steps 1, 2, 4, ... transpose a square of registers.
template <class Real, int kStep, size_t... lane>
[[gnu::always_inline]] inline void swap_blocks(typename Lanes<Real>::Vector& a,
                                               typename Lanes<Real>::Vector& b,
                                               std::index_sequence<lane...>) {
  using Bits = typename Lanes<Real>::Bits;
  constexpr int kCount = Lanes<Real>::kCount;
  const Bits low = {
      ((lane & kStep) ? kCount + static_cast<int>(lane) - kStep : static_cast<int>(lane))...};
  const Bits high = {
      ((lane & kStep) ? kCount + static_cast<int>(lane) : static_cast<int>(lane) + kStep)...};
  const typename Lanes<Real>::Vector first = __builtin_shuffle(a, b, low);
  b = __builtin_shuffle(a, b, high);
  a = first;
}

template <class Real, int kStep>
[[gnu::always_inline]] inline void transpose_steps(typename Lanes<Real>::Vector* rows) {
  constexpr int kCount = Lanes<Real>::kCount;
#pragma GCC unroll 16
  for (int row = 0; row < kCount; ++row)
    if ((row & kStep) == 0)
      swap_blocks<Real, kStep>(rows[row], rows[row + kStep], std::make_index_sequence<kCount>());
  if constexpr (kStep * 2 < kCount) transpose_steps<Real, kStep * 2>(rows);
}

// Rounded to the nearest, ties to even; weights are finite.
[[gnu::always_inline]] inline void store(const Lanes<float>::Vector& from, c10::BFloat16* to) {
  typedef uint32_t Bits __attribute__((vector_size(64)));
  const Bits bits = (Bits)from;
  const Bits rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  *reinterpret_cast<Lanes<float>::HalfMemory*>(to) =
      __builtin_convertvector(rounded, Lanes<float>::Half);
}

template <class Real, class Out, bool kShared>
[[gnu::always_inline]] inline void weights_of(const Tile<Real>& tile, const Base2Scale<Real>& scale,
                                              const TileWeights<Real>& weights,
                                              const WeightTile<Out>& out) {
  using Vector = typename Lanes<Real>::Vector;
  constexpr int kCount = Lanes<Real>::kCount;
  for (int64_t row = 0; row < tile.rows; row += kCount)
    for (int64_t at = 0; at < tile.stride; at += kCount) {
      Vector p[kCount], factor, reference = {};
      load(weights.column_factor + at, factor);
      if constexpr (!kShared) load(weights.column_reference + at, reference);
#pragma GCC unroll 16
      for (int r = 0; r < kCount; ++r) {
        load(tile.s + (row + r) * tile.stride + at, p[r]);
        if constexpr (kShared) {
          to_base2<Real>(p[r], scale, weights.reference);
          exp2_in_place<Real>(p[r]);
          p[r] *= weights.row_factor[row + r] + factor;
        } else {
          Vector by_column = p[r];
          to_base2<Real>(p[r], scale, weights.row_reference[row + r]);
          exp2_in_place<Real>(p[r]);
          to_base2<Real>(by_column, scale, reference);
          exp2_in_place<Real>(by_column);
          p[r] = p[r] * weights.row_factor[row + r] + by_column * factor;
        }
        store(p[r], out.p + (row + r) * tile.stride + at);
      }
      if (!out.transposed) continue;
      transpose_steps<Real, 1>(p);
#pragma GCC unroll 16
      for (int r = 0; r < kCount; ++r)
        store(p[r], out.transposed + (at + r) * out.transposed_stride + row);
    }
}

}  // namespace

CLTRAIN_SIMD LogitRange<float> range_of(const Tile<float>& tile) {
  return range(tile);
}
CLTRAIN_SIMD LogitRange<double> range_of(const Tile<double>& tile) {
  return range(tile);
}

CLTRAIN_SIMD void sum_shared(const Tile<float>& tile, Base2Scale<float> scale, float reference,
                             double* row_sums, double* column_sums) {
  if (column_sums)
    shared_sums<float, true>(tile, scale, reference, row_sums, column_sums);
  else
    shared_sums<float, false>(tile, scale, reference, row_sums, column_sums);
}
CLTRAIN_SIMD void sum_shared(const Tile<double>& tile, Base2Scale<double> scale, double reference,
                             double* row_sums, double* column_sums) {
  if (column_sums)
    shared_sums<double, true>(tile, scale, reference, row_sums, column_sums);
  else
    shared_sums<double, false>(tile, scale, reference, row_sums, column_sums);
}

CLTRAIN_SIMD void sum_by_row(const Tile<float>& tile, Base2Scale<float> scale, float* references,
                             double* sums) {
  row_sums_apart(tile, scale, references, sums);
}
CLTRAIN_SIMD void sum_by_row(const Tile<double>& tile, Base2Scale<double> scale, double* references,
                             double* sums) {
  row_sums_apart(tile, scale, references, sums);
}
CLTRAIN_SIMD void sum_by_column(const Tile<float>& tile, Base2Scale<float> scale, float* references,
                                double* sums) {
  column_sums_apart(tile, scale, references, sums);
}
CLTRAIN_SIMD void sum_by_column(const Tile<double>& tile, Base2Scale<double> scale,
                                double* references, double* sums) {
  column_sums_apart(tile, scale, references, sums);
}

CLTRAIN_SIMD void weigh(const Tile<float>& tile, Base2Scale<float> scale,
                        const TileWeights<float>& weights, const WeightTile<float>& out) {
  if (weights.shared)
    weights_of<float, float, true>(tile, scale, weights, out);
  else
    weights_of<float, float, false>(tile, scale, weights, out);
}
CLTRAIN_SIMD void weigh(const Tile<float>& tile, Base2Scale<float> scale,
                        const TileWeights<float>& weights, const WeightTile<c10::BFloat16>& out) {
  if (weights.shared)
    weights_of<float, c10::BFloat16, true>(tile, scale, weights, out);
  else
    weights_of<float, c10::BFloat16, false>(tile, scale, weights, out);
}
CLTRAIN_SIMD void weigh(const Tile<double>& tile, Base2Scale<double> scale,
                        const TileWeights<double>& weights, const WeightTile<double>& out) {
  if (weights.shared)
    weights_of<double, double, true>(tile, scale, weights, out);
  else
    weights_of<double, double, false>(tile, scale, weights, out);
}

}  // namespace cltrain
