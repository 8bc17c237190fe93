// The GPU form of ops/dropout_kernel.cpp: one thread a Philox block, four elements a thread.
#include "ops/dropout_kernel.h"

#include <cuda_runtime.h>

namespace cltrain {
namespace {

__global__ void dropout_kernel(const float* __restrict__ x, float* __restrict__ y,
                               const int64_t* __restrict__ sample_ids, int64_t rows, int64_t length,
                               uint32_t threshold, float scale, PhiloxKey key, uint32_t view,
                               uint32_t site) {
  const int64_t blocks_a_row = (length + 3) / 4;
  const int64_t total = rows * blocks_a_row;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < total;
       i += step) {
    const int64_t row = i / blocks_a_row, block = i % blocks_a_row;
    const PhiloxBlock words = philox4x32_10(
        random_counter(static_cast<uint64_t>(sample_ids[row]), view, site, block), key);
    for (int lane = 0; lane < 4 && 4 * block + lane < length; ++lane) {
      const int64_t at = row * length + 4 * block + lane;
      y[at] = (words.word[lane] >> 8) >= threshold ? x[at] * scale : 0.0f;
    }
  }
}

}  // namespace

void dropout_rows_cuda(const float* x, float* y, const int64_t* sample_ids, int64_t rows,
                       int64_t length, uint32_t threshold, float scale, PhiloxKey key,
                       uint32_t view, uint32_t site, void* stream) {
  const int64_t blocks = (rows * ((length + 3) / 4) + 255) / 256;
  if (blocks == 0) return;
  dropout_kernel<<<static_cast<unsigned>(blocks < 65535 ? blocks : 65535), 256, 0,
                   static_cast<cudaStream_t>(stream)>>>(x, y, sample_ids, rows, length, threshold,
                                                        scale, key, view, site);
}

}  // namespace cltrain
