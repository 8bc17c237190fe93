#include "data/colour.h"

#include <algorithm>
#include <cmath>

namespace cltrain {
namespace {

/// torchvision's conversion to uint8 of a value already within 0..255: truncation.
inline uint8_t truncate(float value) {
  return static_cast<uint8_t>(static_cast<int32_t>(std::min(std::max(value, 0.0f), 255.0f)));
}

inline uint8_t gray_of(uint8_t red, uint8_t green, uint8_t blue) {
  return static_cast<uint8_t>(static_cast<int32_t>(0.2989f * static_cast<float>(red) +
                                                   0.587f * static_cast<float>(green) +
                                                   0.114f * static_cast<float>(blue)));
}

/// x - floor(x), by truncation so that it vectorises without SSE4.1.
inline float fraction(float x) {
  const auto whole = static_cast<float>(static_cast<int32_t>(x));
  return x - (x < whole ? whole - 1.0f : whole);
}

/// Channel `sector`-wise of HSV to RGB: which of v, q, p, t stands in sectors 0 to 5.
inline float choose(int32_t sector, float s0, float s1, float s2, float s3, float s4, float s5) {
  const float low = sector == 0 ? s0 : (sector == 1 ? s1 : s2);
  const float high = sector == 3 ? s3 : (sector == 4 ? s4 : s5);
  return sector < 3 ? low : high;
}

inline uint8_t to_byte(float unit) {
  return static_cast<uint8_t>(static_cast<int32_t>(unit * 255.999f));
}

}  // namespace

void adjust_brightness(Planes& picture, double factor) {
  if (factor == 1) return;
  const auto ratio = static_cast<float>(factor);
  uint8_t* pixels = picture.pixels.data();
  const int64_t count = 3 * picture.area();
#pragma omp simd
  for (int64_t at = 0; at < count; ++at)
    pixels[at] = truncate(ratio * static_cast<float>(pixels[at]));
}

void adjust_contrast(Planes& picture, double factor) {
  if (factor == 1) return;
  const uint8_t *red = picture.plane(0), *green = picture.plane(1), *blue = picture.plane(2);
  const int64_t area = picture.area();
  int64_t total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t at = 0; at < area; ++at) total += gray_of(red[at], green[at], blue[at]);
  const float mean = static_cast<float>(total) / static_cast<float>(area);
  const auto ratio = static_cast<float>(factor);
  const float shift = static_cast<float>(1.0 - factor) * mean;
  uint8_t* pixels = picture.pixels.data();
#pragma omp simd
  for (int64_t at = 0; at < 3 * area; ++at)
    pixels[at] = truncate(ratio * static_cast<float>(pixels[at]) + shift);
}

void adjust_saturation(Planes& picture, double factor) {
  if (factor == 1) return;
  uint8_t *red = picture.plane(0), *green = picture.plane(1), *blue = picture.plane(2);
  const auto ratio = static_cast<float>(factor), rest = static_cast<float>(1.0 - factor);
  const int64_t area = picture.area();
#pragma omp simd
  for (int64_t at = 0; at < area; ++at) {
    const float shift = rest * static_cast<float>(gray_of(red[at], green[at], blue[at]));
    red[at] = truncate(ratio * static_cast<float>(red[at]) + shift);
    green[at] = truncate(ratio * static_cast<float>(green[at]) + shift);
    blue[at] = truncate(ratio * static_cast<float>(blue[at]) + shift);
  }
}

void adjust_hue(Planes& picture, double turn) {
  if (turn == 0) return;
  uint8_t *red = picture.plane(0), *green = picture.plane(1), *blue = picture.plane(2);
  const auto hue = static_cast<float>(turn);
  const int64_t area = picture.area();
#pragma omp simd
  for (int64_t at = 0; at < area; ++at) {
    const float r = static_cast<float>(red[at]) / 255.0f;
    const float g = static_cast<float>(green[at]) / 255.0f;
    const float b = static_cast<float>(blue[at]) / 255.0f;
    const float high = std::max(std::max(r, g), b), low = std::min(std::min(r, g), b);
    const float range = high - low;
    const float s = range / (range == 0 ? 1.0f : high);
    const float divisor = range == 0 ? 1.0f : range;
    const float rc = (high - r) / divisor, gc = (high - g) / divisor, bc = (high - b) / divisor;
    const float raw = high == r ? bc - gc : (high == g ? 2.0f + rc - bc : 4.0f + gc - rc);
    const float h = fraction(fraction(raw / 6.0f + 1.0f) + hue);
    const float six = h * 6.0f;
    const auto sector = static_cast<int32_t>(six);
    const float f = six - static_cast<float>(sector);
    // high is v. The products stay within 0..1 but for rounding, as torchvision's clamp assumes.
    const float p = std::min(std::max(high * (1.0f - s), 0.0f), 1.0f);
    const float q = std::min(std::max(high * (1.0f - s * f), 0.0f), 1.0f);
    const float t = std::min(std::max(high * (1.0f - s * (1.0f - f)), 0.0f), 1.0f);
    // A fraction that rounds up to 1 gives sector 6, which is sector 0.
    const int32_t turned = sector == 6 ? 0 : sector;
    red[at] = to_byte(choose(turned, high, q, p, p, t, high));
    green[at] = to_byte(choose(turned, t, high, high, q, p, p));
    blue[at] = to_byte(choose(turned, p, p, t, high, high, q));
  }
}

void make_gray(Planes& picture) {
  uint8_t *red = picture.plane(0), *green = picture.plane(1), *blue = picture.plane(2);
  const int64_t area = picture.area();
#pragma omp simd
  for (int64_t at = 0; at < area; ++at)
    red[at] = green[at] = blue[at] = gray_of(red[at], green[at], blue[at]);
}

}  // namespace cltrain
