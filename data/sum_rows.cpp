#include "data/sum_rows.h"

#include "ops/simd.h"

#include <algorithm>

namespace cltrain {
namespace {

/// Four rows are added in one pass, so that `out` is read and written once for
/// all of them. Inlined into its callers, which are compiled for several
/// instruction sets.
template <class T>
inline __attribute__((always_inline)) void add_rows(const T* const* rows, const float* weights,
                                                    int64_t taps, float start,
                                                    float* __restrict out, int64_t count) {
  int64_t tap = 0;
  if (taps >= 4) {
    const T *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
    const float u = weights[0], v = weights[1], w = weights[2], z = weights[3];
#pragma omp simd
    for (int64_t x = 0; x < count; ++x)
      out[x] = start + u * static_cast<float>(a[x]) + v * static_cast<float>(b[x]) +
               w * static_cast<float>(c[x]) + z * static_cast<float>(d[x]);
    tap = 4;
  } else {
    std::fill(out, out + count, start);
  }
  for (; tap + 4 <= taps; tap += 4) {
    const T *a = rows[tap], *b = rows[tap + 1], *c = rows[tap + 2], *d = rows[tap + 3];
    const float u = weights[tap], v = weights[tap + 1], w = weights[tap + 2], z = weights[tap + 3];
#pragma omp simd
    for (int64_t x = 0; x < count; ++x)
      out[x] += u * static_cast<float>(a[x]) + v * static_cast<float>(b[x]) +
                w * static_cast<float>(c[x]) + z * static_cast<float>(d[x]);
  }
  for (; tap + 2 <= taps; tap += 2) {
    const T *a = rows[tap], *b = rows[tap + 1];
    const float u = weights[tap], v = weights[tap + 1];
#pragma omp simd
    for (int64_t x = 0; x < count; ++x)
      out[x] += u * static_cast<float>(a[x]) + v * static_cast<float>(b[x]);
  }
  if (tap == taps) return;
  const T* a = rows[tap];
  const float u = weights[tap];
#pragma omp simd
  for (int64_t x = 0; x < count; ++x) out[x] += u * static_cast<float>(a[x]);
}

}  // namespace

CLTRAIN_SIMD void sum_rows(const uint8_t* const* rows, const float* weights, int64_t taps,
                           float start, float* out, int64_t count) {
  add_rows(rows, weights, taps, start, out, count);
}

CLTRAIN_SIMD void sum_rows(const float* const* rows, const float* weights, int64_t taps,
                           float start, float* out, int64_t count) {
  add_rows(rows, weights, taps, start, out, count);
}

}  // namespace cltrain
