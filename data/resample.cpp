#include "data/resample.h"

#include "data/sum_rows.h"
#include "ops/simd.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

namespace cltrain {
namespace {

/// Rows that are filtered across together: each weight is then loaded once for
/// all of them.
constexpr int64_t kRows = 4;

/// A register of every x86-64 (SSE) and of NEON.
typedef float Float4 __attribute__((vector_size(16)));

inline Float4 load4(const float* from) {
  Float4 value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

/// weight[i] = cubic(first + i * step): Keys' cubic convolution kernel, a =
/// -0.5. Both pieces are computed and one is chosen, so that the loop
/// vectorises.
CLTRAIN_SIMD void cubic_weights(double first, double step, int64_t count, double* weight) {
  constexpr double a = -0.5;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const double distance = std::abs(first + static_cast<double>(i) * step);
    const double x = distance < 2 ? distance : 2;
    const double near = ((a + 2) * x - (a + 3)) * x * x + 1;
    const double far = (((x - 5) * x + 8) * x - 4) * a;
    // At 2 the far piece is 0, and beyond that nothing counts.
    weight[i] = x < 1 ? near : far;
  }
}

/// Outputs begin .. begin + outputs - 1 of resizing `extent` pixels that start
/// at `low` to `out`. Pixels are counted from the one that holds `low`.
void make_filter(double low, double extent, int64_t out, int64_t begin, int64_t outputs,
                 ResampleFilter& filter) {
  const double scale = extent / static_cast<double>(out);
  const double stretch = std::max(scale, 1.0);
  const double support = 2 * stretch;
  const double offset = low - std::floor(low);
  const auto in = static_cast<int64_t>(std::ceil(offset + extent));
  filter.taps = std::min(in, 2 * static_cast<int64_t>(std::ceil(support)) + 1);
  filter.first.resize(static_cast<size_t>(outputs));
  filter.count.resize(static_cast<size_t>(outputs));
  filter.weight.resize(static_cast<size_t>(outputs * filter.taps));
  std::vector<double>& cubic = filter.cubic;
  cubic.resize(static_cast<size_t>(filter.taps));
  for (int64_t o = 0; o < outputs; ++o) {
    const double center = offset + scale * (static_cast<double>(begin + o) + 0.5);
    const int64_t first = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
    const int64_t count = std::min(static_cast<int64_t>(center + support + 0.5), in) - first;
    cubic_weights((static_cast<double>(first) - center + 0.5) / stretch, 1 / stretch, count,
                  cubic.data());
    double total = 0;
    for (int64_t at = 0; at < count; ++at) total += cubic[static_cast<size_t>(at)];
    float* weight = filter.weight.data() + o * filter.taps;
    for (int64_t at = 0; at < count; ++at)
      weight[at] = static_cast<float>(cubic[static_cast<size_t>(at)] / total);
    filter.first[static_cast<size_t>(o)] = first;
    filter.count[static_cast<size_t>(o)] = count;
  }
}

/// kRows rows of interleaved RGB, `stride` apart, to across, [kRows, side, 4];
/// the fourth number is of no use. Rows have a float to spare beyond their end,
/// for the last pixel's fourth.
CLTRAIN_SIMD void filter_across(const float* sums, int64_t stride, const int64_t* first,
                                const int64_t* count, const float* weights, int64_t taps,
                                int64_t side, bool flip, float* across) {
  for (int64_t o = 0; o < side; ++o) {
    const float* pixel = sums + 3 * first[o];
    const float* weight = weights + o * taps;
    Float4 a = {}, b = {}, c = {}, d = {};
    for (int64_t tap = 0; tap < count[o]; ++tap, pixel += 3) {
      const Float4 w = {weight[tap], weight[tap], weight[tap], weight[tap]};
      a += w * load4(pixel);
      b += w * load4(pixel + stride);
      c += w * load4(pixel + 2 * stride);
      d += w * load4(pixel + 3 * stride);
    }
    float* target = across + 4 * (flip ? side - 1 - o : o);
    std::memcpy(target, &a, sizeof(a));
    std::memcpy(target + 4 * side, &b, sizeof(b));
    std::memcpy(target + 8 * side, &c, sizeof(c));
    std::memcpy(target + 12 * side, &d, sizeof(d));
  }
}

/// Halves go up, as torch's clamp and round do here. By value, and clamped
/// after the conversion: std::min and comparisons of floats become branches,
/// which would keep loops from being vectorised.
inline __attribute__((always_inline)) uint8_t round_to_byte(float value) {
  const auto level = static_cast<int32_t>(value + 0.5f);
  const int32_t least = level > 0 ? level : 0;
  return static_cast<uint8_t>(least < 255 ? least : 255);
}

CLTRAIN_SIMD void to_planes(const float* __restrict across, int64_t count, uint8_t* __restrict red,
                            uint8_t* __restrict green, uint8_t* __restrict blue) {
#pragma omp simd
  for (int64_t x = 0; x < count; ++x) {
    red[x] = round_to_byte(across[4 * x]);
    green[x] = round_to_byte(across[4 * x + 1]);
    blue[x] = round_to_byte(across[4 * x + 2]);
  }
}

void check(const Picture& picture, const Resampling& r) {
  const RealBox& crop = r.crop;
  const bool inside = crop.top >= 0 && crop.left >= 0 && crop.height > 0 && crop.width > 0 &&
                      crop.top + crop.height <= static_cast<double>(picture.height) &&
                      crop.left + crop.width <= static_cast<double>(picture.width);
  const bool window = r.side > 0 && r.top >= 0 && r.left >= 0 &&
                      r.top + r.side <= r.resized_height && r.left + r.side <= r.resized_width;
  if (inside && window) return;
  throw std::invalid_argument(
      "resample: crop " + std::to_string(crop.height) + " x " + std::to_string(crop.width) +
      " at (" + std::to_string(crop.top) + ", " + std::to_string(crop.left) + ") of an image of " +
      std::to_string(picture.height) + " x " + std::to_string(picture.width) + ", window of " +
      std::to_string(r.side) + " in " + std::to_string(r.resized_height) + " x " +
      std::to_string(r.resized_width) + "; allowed: boxes inside their pictures");
}

}  // namespace

void resample(const Picture& picture, const Resampling& r, ResampleScratch& scratch,
              Planes& result) {
  check(picture, r);
  const ResampleFilter &rows = scratch.rows, &columns = scratch.columns;
  make_filter(r.crop.top, r.crop.height, r.resized_height, r.top, r.side, scratch.rows);
  make_filter(r.crop.left, r.crop.width, r.resized_width, r.left, r.side, scratch.columns);
  result.resize(r.side);
  const int64_t last_column = columns.first.back() + columns.count.back();
  const int64_t stride = 3 * last_column + 1;
  scratch.sources.resize(static_cast<size_t>(rows.taps));
  scratch.sums.resize(static_cast<size_t>(kRows * stride));
  scratch.across.resize(static_cast<size_t>(kRows * r.side * 4));
  const uint8_t* corner =
      picture.pixels +
      (static_cast<int64_t>(r.crop.top) * picture.width + static_cast<int64_t>(r.crop.left)) * 3;
  const int64_t skipped = 3 * columns.first.front();  // columns left of the window
  for (int64_t begin = 0; begin < r.side; begin += kRows) {
    const int64_t end = std::min(begin + kRows, r.side);
    for (int64_t y = begin; y < end; ++y) {
      const auto at = static_cast<size_t>(y);
      for (int64_t tap = 0; tap < rows.count[at]; ++tap)
        scratch.sources[static_cast<size_t>(tap)] =
            corner + (rows.first[at] + tap) * picture.width * 3 + skipped;
      sum_rows(scratch.sources.data(), rows.weight.data() + y * rows.taps, rows.count[at], 0.0f,
               scratch.sums.data() + (y - begin) * stride + skipped, 3 * last_column - skipped);
    }
    filter_across(scratch.sums.data(), stride, columns.first.data(), columns.count.data(),
                  columns.weight.data(), columns.taps, r.side, r.flip, scratch.across.data());
    to_planes(scratch.across.data(), (end - begin) * r.side, result.plane(0) + begin * r.side,
              result.plane(1) + begin * r.side, result.plane(2) + begin * r.side);
  }
}

}  // namespace cltrain
