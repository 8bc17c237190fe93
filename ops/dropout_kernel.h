// The device kernels behind keyed_dropout, free of torch: raw pointers, as CUDA sources want them.
#pragma once

#include "ops/keyed_random.h"

#include <cmath>
#include <cstdint>

namespace cltrain {

/// Words below this value are dropped: uniform24(word) < probability in whole numbers.
inline uint32_t dropout_threshold(double probability) {
  return static_cast<uint32_t>(std::ceil(probability * 16777216.0));
}

/// y[row][e] = x[row][e] * scale where word e of the row's stream is kept, else 0.
/// threshold is compared with the word's upper 24 bits.
void dropout_rows(const float* x, float* y, const int64_t* sample_ids, int64_t rows, int64_t length,
                  uint32_t threshold, float scale, PhiloxKey key, uint32_t view, uint32_t site);
void dropout_rows(const double* x, double* y, const int64_t* sample_ids, int64_t rows,
                  int64_t length, uint32_t threshold, double scale, PhiloxKey key, uint32_t view,
                  uint32_t site);

/// keep[e] = 1 where word first + e of the sample's stream is kept, else 0, for e in [0, count).
void dropout_keep(uint8_t* keep, int64_t count, int64_t sample_id, uint64_t first,
                  uint32_t threshold, PhiloxKey key, uint32_t view, uint32_t site);

#ifdef CLTRAIN_CUDA
/// dropout_rows on the GPU; pointers are device pointers, `stream` is a cudaStream_t.
void dropout_rows_cuda(const float* x, float* y, const int64_t* sample_ids, int64_t rows,
                       int64_t length, uint32_t threshold, float scale, PhiloxKey key,
                       uint32_t view, uint32_t site, void* stream);
#endif

}  // namespace cltrain
