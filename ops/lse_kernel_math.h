// The plain arithmetic of the CUDA kernels behind ops/lse.h: sums of powers of two, the rule of a
// mask, weights of the backward pass, and how a problem is cut into tiles. Free of torch and of
// CUDA: nvcc compiles it for the kernels, g++ for tests/ops/lse_kernel_test.cpp. Pure.
//
// Products s are handled to base 2 as in ops/lse_tile.h: x = s (high + low), and an exponential is
// taken of its distance from a reference, which loses nothing where the logits are large.
#pragma once

#include "ops/host_device.h"
#include "ops/lse_basics.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>

namespace cltrain {

/// 2^x; 0 below the normal numbers. On the GPU one instruction, with an error of two units in the
/// last place.
CLTRAIN_KERNEL_INLINE float power2(float x) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#else
  return std::exp2(x);
#endif
}
CLTRAIN_KERNEL_INLINE double power2(double x) {
  return std::exp2(x);
}

/// s * scale, to base 2, minus `reference`.
template <class Real>
CLTRAIN_KERNEL_INLINE Real above(Real s, const Base2Scale<Real>& scale, Real reference) {
  return std::fma(s, scale.high, -reference) + s * scale.low;
}

/// A sum of powers of two, kept as sum * 2^reference. NaN stays NaN.
template <class Real>
struct LseSum {
  Real reference = -std::numeric_limits<Real>::infinity();
  Real sum = 0;

  CLTRAIN_KERNEL_INLINE void add(Real other_reference, Real terms) {
    if (terms == 0) return;
    if (other_reference > reference) {
      sum = sum * power2(reference - other_reference) + terms;
      reference = other_reference;
    } else {
      sum += other_reference == reference ? terms : terms * power2(other_reference - reference);
    }
  }
  template <class Other>
  CLTRAIN_KERNEL_INLINE void add(const LseSum<Other>& other) {
    add(static_cast<Real>(other.reference), static_cast<Real>(other.sum));
  }
  /// One more product, which becomes the reference if it is the largest so far.
  CLTRAIN_KERNEL_INLINE void add_product(Real s, const Base2Scale<Real>& scale) {
    const Real distance = above(s, scale, reference);
    if (distance > 0) {
      const Real largest = s * scale.high;
      sum = sum * power2(reference - largest) + power2(above(s, scale, largest));
      reference = largest;
    } else {
      sum += power2(distance);
    }
  }
  /// Natural logarithm; -inf of nothing.
  CLTRAIN_KERNEL_INLINE Real log() const {
    if (sum == 0) return -std::numeric_limits<Real>::infinity();
    return (reference + std::log2(sum)) / std::numbers::log2e_v<Real>;
  }
};

/// Which candidates rows see: LseMask (ops/lse.h) as pointers. Row 0 is the first of a chunk.
struct LseMaskView {
  bool self = false;                  ///< row i does not see column first_row + i
  int64_t first_row = 0;              ///< number of row 0 among all rows
  const int64_t* excluded = nullptr;  ///< [rows][excluded_count]; outside 0 .. columns - 1: nothing
  int excluded_count = 0;             ///< 0 to 2
  LseLabels labels = LseLabels::kIgnored;
  const int64_t *row_labels = nullptr, *column_labels = nullptr;

  /// The mask of a chunk of rows that begins at row `first` of this one.
  LseMaskView from(int64_t first) const {
    LseMaskView part = *this;
    part.first_row += first;
    if (excluded) part.excluded += first * excluded_count;
    if (row_labels) part.row_labels += first;
    return part;
  }
};

/// What one row of a mask says; read once a row.
struct LseRowRule {
  bool exists = false;
  int hidden[3] = {-1, -1, -1};  ///< itself, and the excluded columns
  int64_t label = 0;
};

CLTRAIN_KERNEL_INLINE int column_number(int64_t column) {
  return column >= 0 && column <= std::numeric_limits<int>::max() ? static_cast<int>(column) : -1;
}

CLTRAIN_KERNEL_INLINE LseRowRule row_rule(const LseMaskView& mask, int row, int rows) {
  LseRowRule rule;
  if (row >= rows) return rule;
  rule.exists = true;
  if (mask.self) rule.hidden[0] = column_number(mask.first_row + row);
  if (mask.excluded_count > 0)
    rule.hidden[1] = column_number(mask.excluded[int64_t{row} * mask.excluded_count]);
  if (mask.excluded_count > 1)
    rule.hidden[2] = column_number(mask.excluded[int64_t{row} * mask.excluded_count + 1]);
  if (mask.labels != LseLabels::kIgnored) rule.label = mask.row_labels[row];
  return rule;
}

/// Of a row and a column that exist.
CLTRAIN_KERNEL_INLINE bool allows(const LseMaskView& mask, const LseRowRule& rule, int column) {
  if (column == rule.hidden[0] || column == rule.hidden[1] || column == rule.hidden[2])
    return false;
  if (mask.labels == LseLabels::kIgnored) return true;
  return (mask.column_labels[column] == rule.label) == (mask.labels == LseLabels::kOnlyEqual);
}

/// What a row or a column brings to the backward pass: its share of a weight is
/// factor * 2^(x - reference), the upstream gradient times the scale times the softmax.
template <class Real>
struct alignas(2 * sizeof(Real)) LseFactor {
  Real factor, reference;
};

/// Of an LSE and the loss's gradient with respect to it. `shared`: relative to `bound`, which is
/// then the reference of all.
template <class Real>
CLTRAIN_KERNEL_INLINE LseFactor<Real> factor_of(double lse, double gradient, double scale,
                                                bool shared, double bound) {
  if (lse == -std::numeric_limits<double>::infinity())  // nothing was allowed: no gradient
    return {0, static_cast<Real>(shared ? bound : kNeverLse)};
  const double lse2 = lse * std::numbers::log2e;
  const Real reference = static_cast<Real>(shared ? bound : lse2);
  // What rounding takes from the reference goes into the factor. Beyond the largest are rows whose
  // candidates a mask has all removed: 0 times it must stay 0.
  const double exponent = static_cast<double>(reference) - lse2;
  const double factor = gradient * scale * power2(exponent > 1000 ? 1000.0 : exponent);
  constexpr double kLargest = 8.5e37;  // 2^126
  return {static_cast<Real>(factor > kLargest    ? kLargest
                            : factor < -kLargest ? -kLargest
                                                 : factor),
          reference};
}

/// The weight of a pair; `column` may be null.
template <class Real>
CLTRAIN_KERNEL_INLINE Real weight_of(Real s, const Base2Scale<Real>& scale,
                                     const LseFactor<Real>& row, const LseFactor<Real>* column,
                                     bool shared) {
  const Real by_row = power2(above(s, scale, row.reference));
  if (!column) return row.factor * by_row;
  if (shared) return (row.factor + column->factor) * by_row;
  return row.factor * by_row + column->factor * power2(above(s, scale, column->reference));
}

// --- how a problem is cut ---

CLTRAIN_KERNEL_INLINE int64_t parts_of(int64_t count, int64_t size) {
  return (count + size - 1) / size;
}

/// Tiles begin .. end - 1 are those of `part` of `parts`: all of them in order, none twice.
struct LseSpan {
  int begin, end;
};
CLTRAIN_KERNEL_INLINE LseSpan span_of(int part, int parts, int tiles) {
  return {static_cast<int>(int64_t{tiles} * part / parts),
          static_cast<int>(int64_t{tiles} * (part + 1) / parts)};
}

/// Rows of a chunk so that a line of `bytes` a row stays within the workspace: one at least.
inline int64_t chunk_rows(int64_t rows, int64_t bytes, int64_t workspace) {
  const int64_t fit = workspace / (bytes > 0 ? bytes : 1);
  return fit < 1 ? 1 : (fit < rows ? fit : rows);
}

/// A number in bfloat16, to the nearest, ties to even.
CLTRAIN_KERNEL_INLINE uint16_t bfloat16_bits(float value) {
#if defined(__CUDA_ARCH__)
  uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
#else
  if (value != value) return 0x7fc0;
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  return static_cast<uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
#endif
}

}  // namespace cltrain
