// What a warpgroup of the fused kernels (ops/lse_fused_*.cu) does with 64 x kColumns products while
// they are in its registers. Free of CUDA: `Group` stands for the 128 threads, so that
// tests/ops/lse_kernel_test.cpp runs these very functions with fibers for threads. A Group has
//   int thread() const               0 .. 127
//   T exchange(T value, int mask)    the value of the lane whose number differs by the bits of mask
//   void sync()                      all 128 threads
//   LseSum<float>* columns()         [4][kColumns], shared by them
// Every sum has one fixed order.
#pragma once

#include "ops/lse_kernel_math.h"

namespace cltrain {

/// Where a thread's products of a 64 x kColumns tile lie: the accumulator fragment of wgmma
/// (PTX ISA, "Register fragments for wgmma.mma_async.m64nNk16"). A thread has two rows, `half` 0
/// and 1, and kEach columns of each.
template <int kColumns>
struct Fragment {
  static constexpr int kEach = kColumns / 4, kValues = kColumns / 2;
  /// Columns a lane is left with when the eight lanes that share columns have shared them out.
  static constexpr int kOwn = kEach / 8;

  CLTRAIN_KERNEL_INLINE static int row(int thread, int half) {
    return 16 * (thread / 32) + thread % 32 / 4 + 8 * half;
  }
  CLTRAIN_KERNEL_INLINE static int column(int thread, int c) {
    return 8 * (c / 2) + 2 * (thread % 4) + c % 2;
  }
  /// The register of column c.
  CLTRAIN_KERNEL_INLINE static constexpr int value(int half, int c) {
    return 4 * (c / 2) + 2 * half + c % 2;
  }
};

/// One launch: M rows against K columns.
struct LseTileProblem {
  int rows, columns;
  LseMaskView mask;
  Base2Scale<float> scale;
  /// The norms bound logits to a span of less than kSharedRange: `bound` is everyone's reference.
  bool bounded;
  float bound;
};

/// Products of pairs that do not exist or are not allowed become kMaskedProduct.
template <int kColumns>
CLTRAIN_KERNEL_INLINE void hide(float* s, int thread, int first_row, int first_column,
                                const LseTileProblem& problem) {
  using F = Fragment<kColumns>;
  const bool ragged = first_column + kColumns > problem.columns;
  CLTRAIN_UNROLL
  for (int half = 0; half < 2; ++half) {
    // Read at every tile: kept, it would cost registers that the products need.
    const LseRowRule rule = row_rule(problem.mask, first_row + F::row(thread, half), problem.rows);
    bool touched = ragged || !rule.exists || problem.mask.labels != LseLabels::kIgnored;
    for (int h = 0; h < 3; ++h)
      touched |= static_cast<unsigned>(rule.hidden[h] - first_column) < kColumns;
    if (!touched) continue;
    CLTRAIN_UNROLL
    for (int c = 0; c < F::kEach; ++c) {
      const int column = first_column + F::column(thread, c);
      if (!rule.exists || column >= problem.columns || !allows(problem.mask, rule, column))
        s[F::value(half, c)] = kMaskedProduct;
    }
  }
}

struct TileReference {
  bool shared;
  float value;
};

/// Of the 16 rows of a warp, before hiding: what a mask removes would only widen the range.
template <int kColumns, class Group>
CLTRAIN_KERNEL_INLINE TileReference reference_of(const Group& group, const float* s,
                                                 const LseTileProblem& problem) {
  if (problem.bounded) return {true, problem.bound};
  float lowest = s[0], highest = s[0];
  CLTRAIN_UNROLL
  for (int v = 1; v < Fragment<kColumns>::kValues; ++v) {
    lowest = s[v] < lowest ? s[v] : lowest;
    highest = s[v] > highest ? s[v] : highest;
  }
  CLTRAIN_UNROLL
  for (int mask = 1; mask < 32; mask *= 2) {
    const float low = group.exchange(lowest, mask), high = group.exchange(highest, mask);
    lowest = low < lowest ? low : lowest;
    highest = high > highest ? high : highest;
  }
  return {(highest - lowest) * problem.scale.high < static_cast<float>(kSharedRange),
          highest * problem.scale.high};
}

/// Lanes that differ by the bit of mask: each adds up one half of 2 kLeft sums and keeps it.
template <int kLeft, class Group>
CLTRAIN_KERNEL_INLINE void halve(const Group& group, float* sums, int mask) {
  const bool upper = group.thread() & mask;
  CLTRAIN_UNROLL
  for (int c = 0; c < kLeft; ++c) {
    const float lower_sum = sums[c], upper_sum = sums[c + kLeft];
    const float sent = group.exchange(upper ? lower_sum : upper_sum, mask);
    sums[c] = (upper ? upper_sum : lower_sum) + sent;
  }
}

/// sums[0 .. kEach) over the eight lanes that have the same columns: lane l keeps, in
/// sums[0 .. kOwn), those that begin at c = l / 4 * kOwn. Half as many values at every exchange.
template <int kColumns, class Group>
CLTRAIN_KERNEL_INLINE void share_out(const Group& group, float* sums) {
  halve<Fragment<kColumns>::kEach / 2>(group, sums, 16);
  halve<Fragment<kColumns>::kEach / 4>(group, sums, 8);
  halve<Fragment<kColumns>::kEach / 8>(group, sums, 4);
}

/// One exponential for both directions. s is used up.
template <int kColumns, class Group>
CLTRAIN_KERNEL_INLINE void sum_shared(const Group& group, float* s, float reference,
                                      const LseTileProblem& problem, bool with_columns,
                                      LseSum<double>* rows) {
  using F = Fragment<kColumns>;
  float sums[2] = {0, 0}, columns[F::kEach];
  CLTRAIN_UNROLL
  for (int c = 0; c < F::kEach; ++c) {
    const float first = power2(above(s[F::value(0, c)], problem.scale, reference));
    const float second = power2(above(s[F::value(1, c)], problem.scale, reference));
    sums[0] += first;
    sums[1] += second;
    columns[c] = first + second;
  }
  rows[0].add(reference, sums[0]);
  rows[1].add(reference, sums[1]);
  if (!with_columns) return;
  share_out<kColumns>(group, columns);
  const int warp = group.thread() / 32, begin = group.thread() % 32 / 4 * F::kOwn;
  CLTRAIN_UNROLL
  for (int i = 0; i < F::kOwn; ++i)
    group.columns()[warp * kColumns + F::column(group.thread(), begin + i)] = {reference,
                                                                               columns[i]};
}

/// A reference for every row and every column, where one would let terms vanish. Rare, so simple.
template <int kColumns, class Group>
CLTRAIN_KERNEL_INLINE void sum_apart(const Group& group, const float* s,
                                     const LseTileProblem& problem, bool with_columns,
                                     LseSum<double>* rows) {
  using F = Fragment<kColumns>;
  CLTRAIN_UNROLL
  for (int half = 0; half < 2; ++half) {
    LseSum<float> row;
    CLTRAIN_UNROLL
    for (int c = 0; c < F::kEach; ++c)
      if (s[F::value(half, c)] != kMaskedProduct)
        row.add_product(s[F::value(half, c)], problem.scale);
    rows[half].add(row);
  }
  if (!with_columns) return;
  const int warp = group.thread() / 32, owner = group.thread() % 32 / 4;
  CLTRAIN_UNROLL
  for (int c = 0; c < F::kEach; ++c) {
    LseSum<float> column;
    CLTRAIN_UNROLL
    for (int half = 0; half < 2; ++half)
      if (s[F::value(half, c)] != kMaskedProduct)
        column.add_product(s[F::value(half, c)], problem.scale);
    CLTRAIN_UNROLL
    for (int mask = 16; mask >= 4; mask /= 2) {
      const float reference = group.exchange(column.reference, mask);
      column.add(reference, group.exchange(column.sum, mask));
    }
    if (c / F::kOwn == owner)
      group.columns()[warp * kColumns + F::column(group.thread(), c)] = column;
  }
}

/// Where the sums of a forward pass go; columns may be null.
struct LseSumParts {
  LseSum<double>* rows;    ///< [splits][M]
  LseSum<float>* columns;  ///< [M / 64, rounded up][K]
};

/// A warpgroup's forward pass over tiles of its 64 rows.
template <int kColumns, class Group>
class SumTiles {
 public:
  CLTRAIN_KERNEL_INLINE SumTiles(const Group& group, const LseTileProblem& problem,
                                 const LseSumParts& parts, int first_row, int split)
      : group_(group), problem_(problem), parts_(parts), first_row_(first_row), split_(split) {}

  CLTRAIN_KERNEL_INLINE void tile(float* s, int first_column) {
    const TileReference reference = reference_of<kColumns>(group_, s, problem_);
    hide<kColumns>(s, group_.thread(), first_row_, first_column, problem_);
    if (reference.shared)
      sum_shared<kColumns>(group_, s, reference.value, problem_, parts_.columns, rows_);
    else
      sum_apart<kColumns>(group_, s, problem_, parts_.columns, rows_);
    if (!parts_.columns) return;
    group_.sync();
    if (first_row_ < problem_.rows) merge_warps(first_column);
    group_.sync();
  }

  CLTRAIN_KERNEL_INLINE void finish() {
    for (int half = 0; half < 2; ++half) {
      for (int mask = 1; mask <= 2; mask *= 2) {  // the four lanes of a row
        const double reference = group_.exchange(rows_[half].reference, mask);
        rows_[half].add(reference, group_.exchange(rows_[half].sum, mask));
      }
      if (group_.thread() % 4 == 0 && row(half) < problem_.rows)
        parts_.rows[int64_t{split_} * problem_.rows + row(half)] = rows_[half];
    }
  }

 private:
  CLTRAIN_KERNEL_INLINE int row(int half) const {
    return first_row_ + Fragment<kColumns>::row(group_.thread(), half);
  }

  CLTRAIN_KERNEL_INLINE void merge_warps(int first_column) {
    for (int c = group_.thread(); c < kColumns; c += 128) {
      if (first_column + c >= problem_.columns) break;
      LseSum<float> total;
      for (int warp = 0; warp < 4; ++warp) total.add(group_.columns()[warp * kColumns + c]);
      parts_.columns[int64_t{first_row_ / 64} * problem_.columns + first_column + c] = total;
    }
  }

  const Group& group_;
  const LseTileProblem& problem_;
  const LseSumParts& parts_;
  int first_row_, split_;
  LseSum<double> rows_[2];
};

/// The same rows in the backward pass: weights in the place of products.
template <int kColumns, class Group>
class WeighTiles {
 public:
  /// row_factors [M]; columns bring factors when `with_columns`.
  CLTRAIN_KERNEL_INLINE WeighTiles(const Group& group, const LseTileProblem& problem,
                                   const LseFactor<float>* row_factors, bool with_columns,
                                   int first_row)
      : group_(group), problem_(problem), with_columns_(with_columns), first_row_(first_row) {
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + Fragment<kColumns>::row(group.thread(), half);
      factors_[half] = row < problem.rows ? row_factors[row] : LseFactor<float>{0, 0};
    }
  }

  /// column_factors: of the tile's columns, as many as it is wide; read if columns bring any.
  CLTRAIN_KERNEL_INLINE void tile(float* s, int first_column,
                                  const LseFactor<float>* column_factors) {
    using F = Fragment<kColumns>;
    hide<kColumns>(s, group_.thread(), first_row_, first_column, problem_);
    if (!with_columns_) {
      CLTRAIN_UNROLL
      for (int v = 0; v < F::kValues; ++v)
        s[v] = weight_of<float>(s[v], problem_.scale, factors_[v / 2 % 2], nullptr, false);
      return;
    }
    CLTRAIN_UNROLL
    for (int c = 0; c < F::kEach; ++c) {
      const LseFactor<float> column = column_factors[F::column(group_.thread(), c)];
      CLTRAIN_UNROLL
      for (int half = 0; half < 2; ++half) {
        float& value = s[F::value(half, c)];
        value = weight_of(value, problem_.scale, factors_[half], &column, problem_.bounded);
      }
    }
  }

 private:
  const Group& group_;
  const LseTileProblem& problem_;
  bool with_columns_;
  int first_row_;
  LseFactor<float> factors_[2];
};

/// Weights of a tile to memory, in bfloat16: [M][stride]. Two neighbouring columns at a time.
template <int kColumns, class Group>
CLTRAIN_KERNEL_INLINE void store_weights(const Group& group, const LseTileProblem& problem,
                                         const float* weights, int first_row, int first_column,
                                         uint16_t* out, int64_t stride) {
  using F = Fragment<kColumns>;
  CLTRAIN_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int row = first_row + F::row(group.thread(), half);
    if (row >= problem.rows) continue;
    CLTRAIN_UNROLL
    for (int c = 0; c < F::kEach; c += 2) {
      const int column = first_column + F::column(group.thread(), c);
      // The stride is even and no smaller than the columns: a pair never leaves its line.
      if (column < problem.columns)
        *reinterpret_cast<uint32_t*>(out + row * stride + column) =
            bfloat16_bits(weights[F::value(half, c)]) |
            static_cast<uint32_t>(bfloat16_bits(weights[F::value(half, c + 1)])) << 16;
    }
  }
}

/// Sums of gradients to memory: [M][width], of whose columns this tile has kColumns.
template <int kColumns, class Group>
CLTRAIN_KERNEL_INLINE void store_sums(const Group& group, const LseTileProblem& problem,
                                      const float* sums, int first_row, int width, float* out) {
  using F = Fragment<kColumns>;
  CLTRAIN_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int row = first_row + F::row(group.thread(), half);
    if (row >= problem.rows) continue;
    CLTRAIN_UNROLL
    for (int c = 0; c < F::kEach; ++c) {
      const int column = F::column(group.thread(), c);
      if (column < width) out[int64_t{row} * width + column] = sums[F::value(half, c)];
    }
  }
}

}  // namespace cltrain
