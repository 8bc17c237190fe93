#include "data/resample.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

namespace cltrain {
namespace {

/// The input pixels first[o] .. first[o] + taps - 1 and their weights, for each output pixel o.
/// Rows of weights are padded with zeros to the same number of taps.
struct Filter {
  int64_t taps = 0;
  std::vector<int64_t> first, count;
  std::vector<float> weight;  // [outputs, taps]
};

/// Keys' cubic convolution kernel, a = -0.5.
double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/// Outputs begin .. begin + outputs - 1 of resizing `in` pixels to `out`.
Filter make_filter(int64_t in, int64_t out, int64_t begin, int64_t outputs) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double stretch = std::max(scale, 1.0);
  const double support = 2 * stretch;
  Filter filter;
  filter.taps = std::min(in, 2 * static_cast<int64_t>(std::ceil(support)) + 1);
  filter.first.resize(static_cast<size_t>(outputs));
  filter.count.resize(static_cast<size_t>(outputs));
  filter.weight.resize(static_cast<size_t>(outputs * filter.taps));
  for (int64_t o = 0; o < outputs; ++o) {
    const double center = scale * (static_cast<double>(begin + o) + 0.5);
    const int64_t low = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
    const int64_t high = std::min(static_cast<int64_t>(center + support + 0.5), in);
    float* weight = filter.weight.data() + o * filter.taps;
    double total = 0;
    for (int64_t at = low; at < high; ++at) {
      const double value = cubic((static_cast<double>(at) - center + 0.5) / stretch);
      weight[at - low] = static_cast<float>(value);
      total += value;
    }
    const auto inverse = static_cast<float>(1 / total);
    for (int64_t at = 0; at < high - low; ++at) weight[at] *= inverse;
    filter.first[static_cast<size_t>(o)] = low;
    filter.count[static_cast<size_t>(o)] = high - low;
  }
  return filter;
}

void add_row(float* __restrict sum, const uint8_t* __restrict row, float weight, int64_t count) {
#pragma omp simd
  for (int64_t at = 0; at < count; ++at) sum[at] += weight * static_cast<float>(row[at]);
}

/// One output row: sums of interleaved RGB. `row` has a float to spare beyond its end, so that four
/// floats can be read at its last pixel.
void resample_row(const float* row, const Filter& filter, int64_t side, bool flip, uint8_t* red,
                  int64_t plane) {
  for (int64_t o = 0; o < side; ++o) {
    const float* pixel = row + 3 * filter.first[static_cast<size_t>(o)];
    const float* weight = filter.weight.data() + o * filter.taps;
    float sum[4] = {0, 0, 0, 0};
    const int64_t count = filter.count[static_cast<size_t>(o)];
    for (int64_t tap = 0; tap < count; ++tap, pixel += 3) {
#pragma omp simd
      for (int lane = 0; lane < 4; ++lane) sum[lane] += weight[tap] * pixel[lane];
    }
    uint8_t* target = red + (flip ? side - 1 - o : o);
    for (int64_t channel = 0; channel < 3; ++channel)
      target[channel * plane] = static_cast<uint8_t>(std::clamp(sum[channel], 0.0f, 255.0f) + 0.5f);
  }
}

void check(const Image& image, const Resampling& r) {
  const Box& crop = r.crop;
  const bool inside = crop.top >= 0 && crop.left >= 0 && crop.height > 0 && crop.width > 0 &&
                      crop.top + crop.height <= image.height &&
                      crop.left + crop.width <= image.width;
  const bool window = r.side > 0 && r.top >= 0 && r.left >= 0 &&
                      r.top + r.side <= r.resized_height && r.left + r.side <= r.resized_width;
  if (inside && window) return;
  throw std::invalid_argument(
      "resample: crop " + std::to_string(crop.height) + " x " + std::to_string(crop.width) +
      " at (" + std::to_string(crop.top) + ", " + std::to_string(crop.left) + ") of an image of " +
      std::to_string(image.height) + " x " + std::to_string(image.width) + ", window of " +
      std::to_string(r.side) + " in " + std::to_string(r.resized_height) + " x " +
      std::to_string(r.resized_width) + "; allowed: boxes inside their pictures");
}

}  // namespace

Planes resample(const Image& image, const Resampling& r) {
  check(image, r);
  const Filter rows = make_filter(r.crop.height, r.resized_height, r.top, r.side);
  const Filter columns = make_filter(r.crop.width, r.resized_width, r.left, r.side);
  Planes result(r.side);
  const int64_t count = 3 * r.crop.width;
  std::vector<float> sum(static_cast<size_t>(count + 1));
  for (int64_t y = 0; y < r.side; ++y) {
    std::fill(sum.begin(), sum.end(), 0.0f);
    const int64_t first = r.crop.top + rows.first[static_cast<size_t>(y)];
    for (int64_t tap = 0; tap < rows.count[static_cast<size_t>(y)]; ++tap)
      add_row(sum.data(), image.pixels.data() + ((first + tap) * image.width + r.crop.left) * 3,
              rows.weight[static_cast<size_t>(y * rows.taps + tap)], count);
    resample_row(sum.data(), columns, r.side, r.flip, result.pixels.data() + y * r.side,
                 result.area());
  }
  return result;
}

}  // namespace cltrain
