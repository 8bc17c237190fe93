#include "data/yuv.h"

#include "ops/simd.h"

#include <algorithm>
#include <cmath>

namespace cltrain {
namespace {

/// Chroma is carried in sixteenths of a level: quarters of a row times quarters of a column.
constexpr int kSixteenths = 16;
/// Bits of the fraction of a coefficient. With the sixteenths, sums stay below 2^31.
constexpr int kFraction = 15;

struct Coefficients {
  int32_t black, y, red_v, green_u, green_v, blue_u;
};

Coefficients coefficients_of(const YuvFrame& frame) {
  const double y = frame.full_range ? 1 : 255.0 / 219, c = frame.full_range ? 1 : 255.0 / 224;
  const double green = 1 - frame.red - frame.blue;
  const auto fixed = [](double value) {
    return static_cast<int32_t>(std::lround(value * (1 << kFraction)));
  };
  return {.black = frame.full_range ? 0 : 16,
          .y = fixed(y),
          .red_v = fixed(2 * (1 - frame.red) * c),
          .green_u = fixed(-2 * (1 - frame.blue) * frame.blue / green * c),
          .green_v = fixed(-2 * (1 - frame.red) * frame.red / green * c),
          .blue_u = fixed(2 * (1 - frame.blue) * c)};
}

/// Of two samples next to each other, in quarters, for the pixel (row or column) `at`.
struct Neighbours {
  int64_t first, second;
  int16_t weight;  ///< of the first; that of the second is 4 - weight
};

Neighbours neighbours(int64_t at, int64_t samples, bool halved, bool between) {
  if (!halved) return {at, at, 4};
  const int64_t own = at / 2;
  const bool second = at % 2 == 1;
  if (!between)
    return {own, second ? std::min(own + 1, samples - 1) : own,
            static_cast<int16_t>(second ? 2 : 4)};
  const int64_t other = std::clamp<int64_t>(second ? own + 1 : own - 1, 0, samples - 1);
  return {own, other, 3};
}

/// A row of samples between two stored ones, in quarters of a level.
CLTRAIN_SIMD void mix_rows(const uint8_t* __restrict first, const uint8_t* __restrict second,
                           int16_t weight, int64_t samples, int16_t* __restrict out) {
#pragma omp simd
  for (int64_t at = 0; at < samples; ++at)
    out[at] = static_cast<int16_t>(first[at] * weight + second[at] * (4 - weight));
}

/// A sample for each of 2 * samples pixels, in sixteenths. in[-1] and in[samples] repeat the edges.
CLTRAIN_SIMD void spread_columns(const int16_t* __restrict in, int64_t samples, bool between,
                                 int16_t* __restrict out) {
  const int16_t left = between ? 1 : 0, middle = between ? 3 : 4, right = between ? 1 : 2;
  const int16_t middle_of_second = between ? 3 : 2;
#pragma omp simd
  for (int64_t at = 0; at < samples; ++at) {
    out[2 * at] = static_cast<int16_t>(left * in[at - 1] + middle * in[at]);
    out[2 * at + 1] = static_cast<int16_t>(middle_of_second * in[at] + right * in[at + 1]);
  }
}

CLTRAIN_SIMD void times_four(const int16_t* __restrict in, int64_t samples,
                             int16_t* __restrict out) {
#pragma omp simd
  for (int64_t at = 0; at < samples; ++at) out[at] = static_cast<int16_t>(4 * in[at]);
}

CLTRAIN_SIMD void to_rgb(const uint8_t* __restrict y, const int16_t* __restrict u,
                         const int16_t* __restrict v, const Coefficients& c, int64_t width,
                         uint8_t* __restrict rgb) {
  constexpr int32_t kHalf = kSixteenths << (kFraction - 1);
  constexpr int kShift = kFraction + 4;
  constexpr int32_t kGrey = 128 * kSixteenths;
#pragma omp simd
  for (int64_t at = 0; at < width; ++at) {
    const int32_t luma = (y[at] - c.black) * kSixteenths * c.y + kHalf;
    const int32_t blue = u[at] - kGrey, red = v[at] - kGrey;
    const int32_t r = (luma + c.red_v * red) >> kShift;
    const int32_t g = (luma + c.green_u * blue + c.green_v * red) >> kShift;
    const int32_t b = (luma + c.blue_u * blue) >> kShift;
    rgb[3 * at] = static_cast<uint8_t>(std::clamp(r, 0, 255));
    rgb[3 * at + 1] = static_cast<uint8_t>(std::clamp(g, 0, 255));
    rgb[3 * at + 2] = static_cast<uint8_t>(std::clamp(b, 0, 255));
  }
}

/// Chroma of one row of pixels, in sixteenths, to out.
void chroma_row(const YuvFrame& frame, const YuvFrame::Plane& plane, int64_t row,
                std::vector<int16_t>& mixed, std::vector<int16_t>& out) {
  const int64_t columns = frame.half_width ? (frame.width + 1) / 2 : frame.width;
  const int64_t rows = frame.half_height ? (frame.height + 1) / 2 : frame.height;
  mixed.resize(static_cast<size_t>(columns + 2));
  out.resize(static_cast<size_t>(2 * columns));
  const Neighbours of = neighbours(row, rows, frame.half_height, frame.between_rows);
  int16_t* const samples = mixed.data() + 1;
  mix_rows(plane.levels + of.first * plane.distance, plane.levels + of.second * plane.distance,
           of.weight, columns, samples);
  samples[-1] = samples[0];
  samples[columns] = samples[columns - 1];
  if (frame.half_width)
    spread_columns(samples, columns, frame.between_columns, out.data());
  else
    times_four(samples, columns, out.data());
}

}  // namespace

void yuv_to_rgb(const YuvFrame& frame, YuvScratch& scratch, uint8_t* rgb) {
  const Coefficients coefficients = coefficients_of(frame);
  for (int64_t row = 0; row < frame.height; ++row) {
    chroma_row(frame, frame.u, row, scratch.mixed, scratch.u);
    chroma_row(frame, frame.v, row, scratch.mixed, scratch.v);
    to_rgb(frame.y.levels + row * frame.y.distance, scratch.u.data(), scratch.v.data(),
           coefficients, frame.width, rgb + 3 * row * frame.width);
  }
}

}  // namespace cltrain
