#include "data/colour.h"

#include "ops/simd.h"

#include <algorithm>
#include <bit>

// Each function below is a loop over planes, compiled for several instruction
// sets; what it calls is inlined into it.
#define CLTRAIN_INLINE inline __attribute__((always_inline))

namespace cltrain {
namespace {

// By value: std::min and std::max give references, which g++ turns into
// branches.
CLTRAIN_INLINE float smaller(float x, float y) {
  return x < y ? x : y;
}
CLTRAIN_INLINE float larger(float x, float y) {
  return x > y ? x : y;
}

/// torchvision's conversion to uint8 of a value already within 0..255:
/// truncation.
CLTRAIN_INLINE uint8_t truncate(float value) {
  return static_cast<uint8_t>(static_cast<int32_t>(smaller(larger(value, 0.0f), 255.0f)));
}

CLTRAIN_INLINE int32_t gray_of(uint8_t red, uint8_t green, uint8_t blue) {
  return static_cast<int32_t>(0.2989f * static_cast<float>(red) +
                              0.587f * static_cast<float>(green) +
                              0.114f * static_cast<float>(blue));
}

/// values = ratio * values + shift.
CLTRAIN_SIMD void scale_levels(uint8_t* levels, int64_t count, float ratio, float shift) {
#pragma omp simd
  for (int64_t at = 0; at < count; ++at)
    levels[at] = truncate(ratio * static_cast<float>(levels[at]) + shift);
}

/// The sum of the greys; count <= 2^23, so that 31 bits hold it.
CLTRAIN_SIMD int32_t gray_sum(const uint8_t* red, const uint8_t* green, const uint8_t* blue,
                              int64_t count) {
  int32_t total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t at = 0; at < count; ++at) total += gray_of(red[at], green[at], blue[at]);
  return total;
}

CLTRAIN_SIMD void saturate(uint8_t* __restrict red, uint8_t* __restrict green,
                           uint8_t* __restrict blue, int64_t count, float ratio, float rest) {
#pragma omp simd
  for (int64_t at = 0; at < count; ++at) {
    const float shift = rest * static_cast<float>(gray_of(red[at], green[at], blue[at]));
    red[at] = truncate(ratio * static_cast<float>(red[at]) + shift);
    green[at] = truncate(ratio * static_cast<float>(green[at]) + shift);
    blue[at] = truncate(ratio * static_cast<float>(blue[at]) + shift);
  }
}

/// All bits or none. Selections below are made with such masks: g++ turns conditions on floats, and
/// conditions that are used twice, into branches, which would keep the loop from being vectorised.
CLTRAIN_INLINE int32_t mask_of(bool condition) {
  return -static_cast<int32_t>(condition);
}

CLTRAIN_INLINE float choose(bool first, float one, float other) {
  return std::bit_cast<float>((std::bit_cast<int32_t>(one) & mask_of(first)) |
                              (std::bit_cast<int32_t>(other) & ~mask_of(first)));
}

/// torchvision's conversion of 0..1 to levels.
CLTRAIN_INLINE int32_t to_level(float unit) {
  return static_cast<int32_t>(unit * 255.999f);
}

/// What stands in sectors 0 to 5 of the colour circle.
CLTRAIN_INLINE uint8_t by_sector(int32_t sector, int32_t s0, int32_t s1, int32_t s2, int32_t s3,
                                 int32_t s4, int32_t s5) {
  return static_cast<uint8_t>((s0 & mask_of(sector == 0)) | (s1 & mask_of(sector == 1)) |
                              (s2 & mask_of(sector == 2)) | (s3 & mask_of(sector == 3)) |
                              (s4 & mask_of(sector == 4)) | (s5 & mask_of(sector == 5)));
}

/// torchvision's _rgb2hsv and _hsv2rgb, rounding for rounding. -0.5 <= turn <= 0.5.
CLTRAIN_SIMD void turn_hue(uint8_t* __restrict red, uint8_t* __restrict green,
                           uint8_t* __restrict blue, int64_t count, float turn) {
#pragma omp simd
  for (int64_t at = 0; at < count; ++at) {
    const int32_t r = red[at], g = green[at], b = blue[at];
    const int32_t high = r > g ? (r > b ? r : b) : (g > b ? g : b);
    const int32_t low = r < g ? (r < b ? r : b) : (g < b ? g : b);
    const bool is_red = high == r, is_green = high == g;
    const float unit_r = static_cast<float>(r) / 255.0f, unit_g = static_cast<float>(g) / 255.0f,
                unit_b = static_cast<float>(b) / 255.0f;
    const float unit_low = static_cast<float>(low) / 255.0f;
    const float v = static_cast<float>(high) / 255.0f, range = v - unit_low;
    // Of grey, the range is 0: then s is 0 and the hue does not matter.
    const float divisor = range + static_cast<float>(high == low);
    const float s = range / (v + static_cast<float>(high == 0));
    const float from_r = v - unit_r, from_g = v - unit_g, from_b = v - unit_b;
    const float add = choose(is_red, from_b, choose(is_green, from_r, from_g)) / divisor;
    const float subtract = choose(is_red, from_g, choose(is_green, from_b, from_r)) / divisor;
    const int32_t start = is_red ? 0 : (is_green ? 2 : 4);
    const float raw = static_cast<float>(start) + add - subtract;  // -1 .. 5
    const float place = raw / 6.0f + 1.0f;
    const float turned = place - static_cast<float>(static_cast<int32_t>(place)) + turn;
    // Of -0.5 .. 1.5, the part above the next whole number below.
    const auto below = static_cast<float>(std::bit_cast<int32_t>(turned) >> 31);
    const float hue = turned - static_cast<float>(static_cast<int32_t>(turned)) - below;
    const float six = hue * 6.0f;
    const auto sector = static_cast<int32_t>(six);
    const float f = six - static_cast<float>(sector);
    const int32_t p = to_level(v * (1.0f - s)), q = to_level(v * (1.0f - s * f)),
                  t = to_level(v * (1.0f - s * (1.0f - f))), top = to_level(v);
    // A fraction that rounds up to 1 gives sector 6, which is sector 0.
    const int32_t wrapped = sector & mask_of(sector != 6);
    red[at] = by_sector(wrapped, top, q, p, p, t, top);
    green[at] = by_sector(wrapped, t, top, top, q, p, p);
    blue[at] = by_sector(wrapped, p, p, t, top, top, q);
  }
}

CLTRAIN_SIMD void write_gray(uint8_t* __restrict red, uint8_t* __restrict green,
                             uint8_t* __restrict blue, int64_t count) {
#pragma omp simd
  for (int64_t at = 0; at < count; ++at)
    red[at] = green[at] = blue[at] = static_cast<uint8_t>(gray_of(red[at], green[at], blue[at]));
}

}  // namespace

void adjust_brightness(Planes& picture, double factor) {
  if (factor == 1) return;
  scale_levels(picture.plane(0), 3 * picture.area(), static_cast<float>(factor), 0.0f);
}

void adjust_contrast(Planes& picture, double factor) {
  if (factor == 1) return;
  constexpr int64_t kPart = int64_t{1} << 23;
  const int64_t area = picture.area();
  int64_t total = 0;
  for (int64_t at = 0; at < area; at += kPart)
    total += gray_sum(picture.plane(0) + at, picture.plane(1) + at, picture.plane(2) + at,
                      std::min(kPart, area - at));
  const float mean = static_cast<float>(total) / static_cast<float>(area);
  scale_levels(picture.plane(0), 3 * area, static_cast<float>(factor),
               static_cast<float>(1.0 - factor) * mean);
}

void adjust_saturation(Planes& picture, double factor) {
  if (factor == 1) return;
  saturate(picture.plane(0), picture.plane(1), picture.plane(2), picture.area(),
           static_cast<float>(factor), static_cast<float>(1.0 - factor));
}

void adjust_hue(Planes& picture, double turn) {
  if (turn == 0) return;
  turn_hue(picture.plane(0), picture.plane(1), picture.plane(2), picture.area(),
           static_cast<float>(turn));
}

void make_gray(Planes& picture) {
  write_gray(picture.plane(0), picture.plane(1), picture.plane(2), picture.area());
}

}  // namespace cltrain
