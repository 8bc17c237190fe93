#include "data/blur.h"

#include "data/sum_rows.h"
#include "ops/simd.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace cltrain {
namespace {

/// Both ends together, of a picture of 255 beside one of 0: below 1/10,000 of a
/// level in each pass.
constexpr double kNothing = 1e-7;

/// The kernel's weights, of odd number, symmetric, ends of no effect cut off.
void gaussian(int64_t kernel, double sigma, std::vector<double>& density,
              std::vector<float>& weight) {
  density.resize(static_cast<size_t>(kernel));
  double total = 0;
  for (int64_t at = 0; at < kernel; ++at) {
    const double x = static_cast<double>(at - kernel / 2) / sigma;
    total += density[static_cast<size_t>(at)] = std::exp(-0.5 * x * x);
  }
  int64_t cut = 0;
  for (double tail = density[0]; cut < kernel / 2 && tail < kNothing * total;)
    tail += density[static_cast<size_t>(++cut)];
  weight.clear();
  for (int64_t at = cut; at < kernel - cut; ++at)
    weight.push_back(static_cast<float>(density[static_cast<size_t>(at)] / total));
}

int64_t reflect(int64_t at, int64_t side) {
  return at < 0 ? -at : at >= side ? 2 * (side - 1) - at : at;
}

/// Values are at least 0.5: the half that rounds is in them.
CLTRAIN_SIMD void to_bytes(const float* __restrict values, uint8_t* __restrict bytes,
                           int64_t count) {
#pragma omp simd
  for (int64_t at = 0; at < count; ++at) {
    const auto level = static_cast<int32_t>(values[at]);
    bytes[at] = static_cast<uint8_t>(level < 255 ? level : 255);
  }
}

void blur_plane(const uint8_t* source, int64_t side, BlurScratch& scratch, uint8_t* target) {
  const auto taps = static_cast<int64_t>(scratch.weight.size()), half = taps / 2;
  float* row = scratch.padded.data() + half;
  for (int64_t tap = 0; tap < taps; ++tap)
    scratch.across[static_cast<size_t>(tap)] = scratch.padded.data() + tap;
  for (int64_t y = 0; y < side; ++y) {
    for (int64_t tap = 0; tap < taps; ++tap)
      scratch.down[static_cast<size_t>(tap)] = source + reflect(y + tap - half, side) * side;
    sum_rows(scratch.down.data(), scratch.weight.data(), taps, 0.0f, row, side);
    for (int64_t x = 1; x <= half; ++x) {
      row[-x] = row[x];
      row[side - 1 + x] = row[side - 1 - x];
    }
    sum_rows(scratch.across.data(), scratch.weight.data(), taps, 0.5f, scratch.sum.data(), side);
    to_bytes(scratch.sum.data(), target + y * side, side);
  }
}

}  // namespace

void gaussian_blur(Planes& picture, int64_t kernel, double sigma, BlurScratch& scratch) {
  const int64_t side = picture.side;
  if (kernel < 1 || kernel % 2 == 0 || kernel / 2 >= side || !(sigma > 0))
    throw std::invalid_argument("gaussian_blur: kernel " + std::to_string(kernel) + ", sigma " +
                                std::to_string(sigma) + ", picture of " + std::to_string(side) +
                                "; allowed: odd kernels below twice the side, sigma > 0");
  gaussian(kernel, sigma, scratch.density, scratch.weight);
  const size_t taps = scratch.weight.size();
  if (taps == 1) return;  // one weight, of 1
  scratch.down.resize(taps);
  scratch.across.resize(taps);
  scratch.padded.resize(static_cast<size_t>(side) + taps);
  scratch.sum.resize(static_cast<size_t>(side));
  for (int channel = 0; channel < 3; ++channel) {
    uint8_t* plane = picture.plane(channel);
    scratch.plane.assign(plane, plane + picture.area());
    blur_plane(scratch.plane.data(), side, scratch, plane);
  }
}

}  // namespace cltrain
