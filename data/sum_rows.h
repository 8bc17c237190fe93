// Weighted sums of rows: the inner loop of resampling and of the blur.
//
// Pure, any thread. Sums are float32; their last bits depend on the instruction
// set (ops/simd.h), because AVX2 and AVX-512 fuse multiplications with
// additions and the baseline does not.
#pragma once

#include <cstdint>

namespace cltrain {

/// out[x] = start + sum of weights[t] * rows[t][x] over t < taps, for x <
/// count. `out` overlaps no row.
void sum_rows(const uint8_t* const* rows, const float* weights, int64_t taps, float start,
              float* out, int64_t count);
void sum_rows(const float* const* rows, const float* weights, int64_t taps, float start, float* out,
              int64_t count);

}  // namespace cltrain
