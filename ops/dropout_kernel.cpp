#include "ops/dropout_kernel.h"

#include "ops/simd.h"

#include <algorithm>
#include <cstring>

namespace cltrain {
namespace {

constexpr int kLanes = 16;  // Philox blocks computed side by side
constexpr int kWords = 4 * kLanes;

// Writes the 64 words of blocks first .. first + 15 of one stream, in order. The lanes are kept in
// 64-bit arrays and the round loop is not unrolled: so g++ turns each into vector multiplies.
CLTRAIN_SIMD void philox_words(uint64_t first, uint64_t place, PhiloxKey key, uint32_t* words) {
  uint64_t c0[kLanes], c1[kLanes], c2[kLanes], c3[kLanes];
#pragma GCC unroll 1
  for (int lane = 0; lane < kLanes; ++lane) {
    c0[lane] = (first + lane) & 0xffffffffu;
    c1[lane] = (first + lane) >> 32;
    c2[lane] = place & 0xffffffffu;
    c3[lane] = place >> 32;
  }
  uint64_t low = key.low, high = key.high;
#pragma GCC unroll 1
  for (int round = 0; round < 10; ++round) {
#pragma GCC unroll 1
    for (int lane = 0; lane < kLanes; ++lane) {
      const uint64_t product0 = (c0[lane] & 0xffffffffu) * 0xD2511F53u;
      const uint64_t product1 = (c2[lane] & 0xffffffffu) * 0xCD9E8D57u;
      c0[lane] = (product1 >> 32) ^ c1[lane] ^ low;
      c1[lane] = product1 & 0xffffffffu;
      c2[lane] = (product0 >> 32) ^ c3[lane] ^ high;
      c3[lane] = product0 & 0xffffffffu;
    }
    low = (low + 0x9E3779B9u) & 0xffffffffu;
    high = (high + 0xBB67AE85u) & 0xffffffffu;
  }
#pragma GCC unroll 1
  for (int lane = 0; lane < kLanes; ++lane) {
    words[4 * lane] = static_cast<uint32_t>(c0[lane]);
    words[4 * lane + 1] = static_cast<uint32_t>(c1[lane]);
    words[4 * lane + 2] = static_cast<uint32_t>(c2[lane]);
    words[4 * lane + 3] = static_cast<uint32_t>(c3[lane]);
  }
}

// The select is a bit mask, not a branch: kept values pass their bits, dropped ones become +0.
CLTRAIN_SIMD void select_float(const float* x, float* y, const uint32_t* words, int64_t n,
                               uint32_t threshold, float scale) {
  for (int64_t i = 0; i < n; ++i) {
    const float value = x[i] * scale;
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    bits &= -static_cast<uint32_t>((words[i] >> 8) >= threshold);
    std::memcpy(&y[i], &bits, sizeof(bits));
  }
}

CLTRAIN_SIMD void select_double(const double* x, double* y, const uint32_t* words, int64_t n,
                                uint32_t threshold, double scale) {
  for (int64_t i = 0; i < n; ++i) y[i] = (words[i] >> 8) >= threshold ? x[i] * scale : 0.0;
}

CLTRAIN_SIMD void keep_bytes(uint8_t* keep, const uint32_t* words, int64_t n, uint32_t threshold) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) keep[i] = (words[i] >> 8) >= threshold;
}

template <class T, class Select>
void rows_of(const T* x, T* y, const int64_t* sample_ids, int64_t rows, int64_t length,
             PhiloxKey key, uint32_t view, uint32_t site, Select&& select) {
  uint32_t words[kWords];
  for (int64_t row = 0; row < rows; ++row) {
    const PhiloxBlock counter =
        random_counter(static_cast<uint64_t>(sample_ids[row]), view, site, 0);
    const uint64_t place = counter.word[2] | (uint64_t{counter.word[3]} << 32);
    for (int64_t at = 0; at < length; at += kWords) {
      philox_words(static_cast<uint64_t>(at / 4), place, key, words);
      select(x + row * length + at, y + row * length + at, words,
             std::min<int64_t>(kWords, length - at));
    }
  }
}

}  // namespace

void dropout_rows(const float* x, float* y, const int64_t* sample_ids, int64_t rows, int64_t length,
                  uint32_t threshold, float scale, PhiloxKey key, uint32_t view, uint32_t site) {
  rows_of(x, y, sample_ids, rows, length, key, view, site,
          [=](const float* from, float* to, const uint32_t* words, int64_t n) {
            select_float(from, to, words, n, threshold, scale);
          });
}

void dropout_rows(const double* x, double* y, const int64_t* sample_ids, int64_t rows,
                  int64_t length, uint32_t threshold, double scale, PhiloxKey key, uint32_t view,
                  uint32_t site) {
  rows_of(x, y, sample_ids, rows, length, key, view, site,
          [=](const double* from, double* to, const uint32_t* words, int64_t n) {
            select_double(from, to, words, n, threshold, scale);
          });
}

void dropout_keep(uint8_t* keep, int64_t count, int64_t sample_id, uint64_t first,
                  uint32_t threshold, PhiloxKey key, uint32_t view, uint32_t site) {
  const PhiloxBlock counter = random_counter(static_cast<uint64_t>(sample_id), view, site, 0);
  const uint64_t place = counter.word[2] | (uint64_t{counter.word[3]} << 32);
  uint32_t words[kWords];
  uint64_t block = first / 4;
  int64_t skip = static_cast<int64_t>(first % 4);
  for (int64_t at = 0; at < count; block += kLanes, skip = 0) {
    philox_words(block, place, key, words);
    const int64_t taken = std::min<int64_t>(kWords - skip, count - at);
    keep_bytes(keep + at, words + skip, taken, threshold);
    at += taken;
  }
}

}  // namespace cltrain
