#include "data/blur.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

namespace cltrain {
namespace {

std::vector<float> gaussian(int64_t kernel, double sigma) {
  std::vector<double> density(static_cast<size_t>(kernel));
  double total = 0;
  for (int64_t at = 0; at < kernel; ++at) {
    const double x = static_cast<double>(at - kernel / 2) / sigma;
    total += density[static_cast<size_t>(at)] = std::exp(-0.5 * x * x);
  }
  std::vector<float> weight;
  for (const double value : density) weight.push_back(static_cast<float>(value / total));
  return weight;
}

void add_scaled(float* __restrict sum, const float* __restrict values, float weight,
                int64_t count) {
#pragma omp simd
  for (int64_t at = 0; at < count; ++at) sum[at] += weight * values[at];
}

int64_t reflect(int64_t at, int64_t side) {
  return at < 0 ? -at : at >= side ? 2 * (side - 1) - at : at;
}

}  // namespace

void gaussian_blur(Planes& picture, int64_t kernel, double sigma) {
  const int64_t side = picture.side, half = kernel / 2;
  if (kernel < 1 || kernel % 2 == 0 || half >= side || !(sigma > 0))
    throw std::invalid_argument("gaussian_blur: kernel " + std::to_string(kernel) + ", sigma " +
                                std::to_string(sigma) + ", picture of " + std::to_string(side) +
                                "; allowed: odd kernels below twice the side, sigma > 0");
  const std::vector<float> weight = gaussian(kernel, sigma);
  std::vector<float> padded(static_cast<size_t>(side + 2 * half));
  std::vector<float> across(static_cast<size_t>(picture.area()));  // blurred along rows
  std::vector<float> sum(static_cast<size_t>(side));
  for (int channel = 0; channel < 3; ++channel) {
    uint8_t* plane = picture.plane(channel);
    std::fill(across.begin(), across.end(), 0.0f);
    for (int64_t y = 0; y < side; ++y) {
      for (int64_t x = -half; x < side + half; ++x)
        padded[static_cast<size_t>(x + half)] = plane[y * side + reflect(x, side)];
      for (int64_t tap = 0; tap < kernel; ++tap)
        add_scaled(across.data() + y * side, padded.data() + tap, weight[static_cast<size_t>(tap)],
                   side);
    }
    for (int64_t y = 0; y < side; ++y) {
      std::fill(sum.begin(), sum.end(), 0.5f);  // rounds to the nearest
      for (int64_t tap = 0; tap < kernel; ++tap)
        add_scaled(sum.data(), across.data() + reflect(y + tap - half, side) * side,
                   weight[static_cast<size_t>(tap)], side);
      for (int64_t x = 0; x < side; ++x)
        plane[y * side + x] = static_cast<uint8_t>(std::min(sum[static_cast<size_t>(x)], 255.0f));
    }
  }
}

}  // namespace cltrain
