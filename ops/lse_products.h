// The matrix products of a tile, on operands packed once a call: oneDNN's micro-kernels through
// at::native::cpublas::brgemm for float32 and bfloat16 (which accumulates in float32), the BLAS for
// float64. Packed<In> may be read by all threads.
#pragma once

#include "ops/lse_schedule.h"

#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

/// float64 for float64, else float32: what products accumulate in.
template <class In>
struct Accumulator {
  using Type = float;
};
template <>
struct Accumulator<double> {
  using Type = double;
};

/// Whether this machine multiplies bfloat16 by itself; else such inputs are widened to float32.
bool has_bfloat16_products();

/// Rows [n, D] in the layouts that the products read.
///   float32   rows as they are; each block of rows transposed, [D][block]
///   bfloat16  rows with D rounded up to even; transposed and as they are in pairs along the
///             summed dimension ([D/2][block][2] and [n/2][D][2]), zeros where a pair is half empty
///   float64   rows as they are; the BLAS transposes
template <class In>
class Packed {
 public:
  using Real = typename Accumulator<In>::Type;

  /// `as_columns`: serves as the right side of similarities(); `as_terms`: of accumulate().
  Packed(const at::Tensor& rows, Blocks blocks, bool as_columns, bool as_terms);

  int64_t depth() const { return depth_; }

  /// s [count][stride] = rows first .. first + count - 1 times the transposed block of `columns`.
  void similarities(int64_t first, int64_t count, const Packed& columns, int64_t block, Real* s,
                    int64_t stride) const;
  /// out [count][D] += p [count][terms] times rows first .. first + terms - 1. `first` is even.
  /// With bfloat16, p has a zero column at `terms` if that is odd.
  void accumulate(const In* p, int64_t count, int64_t terms, int64_t stride, int64_t first,
                  Real* out) const;

 private:
  Blocks blocks_;
  int64_t depth_, even_depth_;
  at::Tensor rows_;  // keeps what row_data_ points to
  const In* row_data_;
  at::Tensor transposed_, terms_;
};

/// Each thread that multiplied calls this when it is done: the micro-kernels hold its tile
/// registers.
template <class In>
void release_products();

}  // namespace cltrain
