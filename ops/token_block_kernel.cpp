#include "ops/token_block_kernel.h"

#include "ops/simd.h"
#include "ops/simd_vectors.h"

#include <bit>
#include <cmath>
#include <numbers>

namespace cltrain {
namespace {

// z [width] = residual + drop(y + bias), and its sum. `keep` and `bias` may be null.
template <class Real, bool kKeep, bool kBias>
[[gnu::always_inline]] inline Real add_residual(const NormTile<Real>& t, int64_t begin) {
  const int64_t width = t.width;
  const Real *residual = t.residual + begin, *y = t.y + begin, *bias = t.y_bias;
  const uint8_t* keep = t.keep + (kKeep ? begin : 0);
  const Real scale = t.keep_scale;
  Real* z = t.normalised + begin;
  Real sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < width; ++c) {
    Real value = y[c];
    if constexpr (kBias) value += bias[c];
    if constexpr (kKeep) value = kept_value(value * scale, keep[c]);
    value += residual[c];
    z[c] = value;
    sum += value;
  }
  return sum;
}

template <class Real>
[[gnu::always_inline]] inline void normalise_tile(const NormTile<Real>& t) {
  const int64_t width = t.width;
  const Real share = 1 / static_cast<Real>(width), epsilon = t.epsilon;
  const Real *weight = t.weight, *bias = t.bias;
  for (int64_t row = 0; row < t.rows; ++row) {
    const int64_t begin = row * width;
    Real *z = t.normalised + begin, *out = t.out + begin;
    const Real sum = t.keep ? (t.y_bias ? add_residual<Real, true, true>(t, begin)
                                        : add_residual<Real, true, false>(t, begin))
                            : (t.y_bias ? add_residual<Real, false, true>(t, begin)
                                        : add_residual<Real, false, false>(t, begin));
    const Real mean = sum * share;
    Real squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t c = 0; c < width; ++c) squares += (z[c] - mean) * (z[c] - mean);
    const Real inverse = 1 / std::sqrt(squares * share + epsilon);
    t.inverse[row] = inverse;
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) {
      const Real value = (z[c] - mean) * inverse;
      z[c] = value;
      out[c] = value * weight[c] + bias[c];
    }
  }
}

template <class Real>
[[gnu::always_inline]] inline void normalise_tile_backward(const NormGradientTile<Real>& t) {
  const int64_t width = t.width;
  const Real share = 1 / static_cast<Real>(width);
  const Real* weight = t.weight;
  Real *dweight = t.dweight, *dbias = t.dbias;
  for (int64_t row = 0; row < t.rows; ++row) {
    const int64_t begin = row * width;
    const Real *d = t.upstream + begin, *x = t.normalised + begin;
    Real* out = t.dsum + begin;
    Real sum = 0, product = 0;
#pragma omp simd reduction(+ : sum, product)
    for (int64_t c = 0; c < width; ++c) {
      const Real g = d[c] * weight[c];
      sum += g;
      product += g * x[c];
      dweight[c] += d[c] * x[c];
      dbias[c] += d[c];
    }
    const Real mean = sum * share, slope = product * share, inverse = t.inverse[row];
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) out[c] = inverse * (d[c] * weight[c] - mean - x[c] * slope);
  }
}

template <class Real>
[[gnu::always_inline]] inline void drop_tile(const DropTile<Real>& t) {
  const int64_t count = t.rows * t.width;
  const Real* x = t.x;
  Real* y = t.y;
  const uint8_t* keep = t.keep;
  const Real scale = t.keep_scale;
  if (!keep) {
    for (int64_t i = 0; i < count; ++i) y[i] = x[i];
    return;
  }
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = kept_value(x[i] * scale, keep[i]);
}

template <class Real>
[[gnu::always_inline]] inline void add_bias_to(int64_t rows, int64_t width, const Real* bias,
                                               Real* x) {
  for (int64_t row = 0; row < rows; ++row)
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) x[row * width + c] += bias[c];
}

template <class Real>
[[gnu::always_inline]] inline void add_rows_to(int64_t rows, int64_t width, const Real* x,
                                               Real* sums) {
  for (int64_t row = 0; row < rows; ++row)
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) sums[c] += x[row * width + c];
}

/// Phi(x) and its derivative, the density of the normal distribution.
struct NormalDistribution {
  float below, density;
};

// Phi(-|x|) = exp(-x^2 / 2) / 2 * P(t), t = 1 / (1 + 0.3 |x|): P by least squares with Lawson's
// weights on |x| <= 14, to 4e-10 of Phi before rounding. The exponential serves the density too.
[[gnu::always_inline]] inline NormalDistribution normal_distribution(float x) {
  constexpr float kMagic = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  const float size = x < 0 ? -x : x;
  const float t = 1 / (1 + 0.3F * size);
  float p = 0.0381424003F;
  p = p * t - 0.135962306F;
  p = p * t + 0.00620511338F;
  p = p * t + 0.401562325F;
  p = p * t - 0.121146461F;
  p = p * t + 0.366797372F;
  p = p * t + 0.200962255F;
  p = p * t + 0.243439302F;
  float power = size * size * (-0.5F * std::numbers::log2e_v<float>);
  power = power < -126.0F ? -126.0F : power;
  const float shifted = power + kMagic;
  const float f = power - (shifted - kMagic);
  // 2^f for |f| <= 1/2, the polynomial of ops/simd_vectors.h.
  float e = 0.000153458118F;
  e = e * f + 0.00133999312F;
  e = e * f + 0.00961848896F;
  e = e * f + 0.0555032877F;
  e = e * f + 0.240226469F;
  e = e * f + 0.693147206F;
  e = e * f + 1.0F;
  e *= std::bit_cast<float>((std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kMagic) + 127)
                            << 23);
  const float tail = 0.5F * e * (p * t);
  return {x < 0 ? tail : 1 - tail, e * 0.3989422804F};
}

[[gnu::always_inline]] inline void gelu_tile(int64_t rows, int64_t width, const float* bias,
                                             float* x, float* y) {
  for (int64_t row = 0; row < rows; ++row) {
    float *in = x + row * width, *out = y + row * width;
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) {
      const float value = in[c] + bias[c];
      in[c] = value;
      out[c] = value * normal_distribution(value).below;
    }
  }
}

[[gnu::always_inline]] inline void gelu_tile_backward(int64_t count, const float* x, float* d,
                                                      float* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const float value = x[i];
    const NormalDistribution normal = normal_distribution(value);
    d[i] *= normal.below + value * normal.density;
    y[i] = value * normal.below;
  }
}

template <class Real>
[[gnu::always_inline]] inline void transpose_tile(int64_t rows, int64_t width, const Real* x,
                                                  Real* y) {
  constexpr int64_t kBlock = 8;
  for (int64_t begin = 0; begin < width; begin += kBlock) {
    const int64_t end = begin + kBlock < width ? begin + kBlock : width;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t c = begin; c < end; ++c) y[c * rows + row] = x[row * width + c];
  }
}

}  // namespace

CLTRAIN_SIMD void normalise(const NormTile<float>& tile) {
  normalise_tile(tile);
}
CLTRAIN_SIMD void normalise(const NormTile<double>& tile) {
  normalise_tile(tile);
}
CLTRAIN_SIMD void normalise_backward(const NormGradientTile<float>& tile) {
  normalise_tile_backward(tile);
}
CLTRAIN_SIMD void normalise_backward(const NormGradientTile<double>& tile) {
  normalise_tile_backward(tile);
}
CLTRAIN_SIMD void drop(const DropTile<float>& tile) {
  drop_tile(tile);
}
CLTRAIN_SIMD void drop(const DropTile<double>& tile) {
  drop_tile(tile);
}
CLTRAIN_SIMD void add_bias(int64_t rows, int64_t width, const float* bias, float* x) {
  add_bias_to(rows, width, bias, x);
}
CLTRAIN_SIMD void add_bias(int64_t rows, int64_t width, const double* bias, double* x) {
  add_bias_to(rows, width, bias, x);
}
CLTRAIN_SIMD void add_rows(int64_t rows, int64_t width, const float* x, float* sums) {
  add_rows_to(rows, width, x, sums);
}
CLTRAIN_SIMD void add_rows(int64_t rows, int64_t width, const double* x, double* sums) {
  add_rows_to(rows, width, x, sums);
}

CLTRAIN_SIMD void gelu(int64_t rows, int64_t width, const float* bias, float* x, float* y) {
  gelu_tile(rows, width, bias, x, y);
}
CLTRAIN_SIMD void gelu_backward(int64_t rows, int64_t width, const float* x, float* d, float* y) {
  gelu_tile_backward(rows * width, x, d, y);
}

void gelu(int64_t rows, int64_t width, const double* bias, double* x, double* y) {
  add_bias(rows, width, bias, x);
  for (int64_t i = 0; i < rows * width; ++i)
    y[i] = x[i] * 0.5 * std::erfc(-x[i] * std::numbers::sqrt2 / 2);
}
void gelu_backward(int64_t rows, int64_t width, const double* x, double* d, double* y) {
  for (int64_t i = 0; i < rows * width; ++i) {
    const double below = 0.5 * std::erfc(-x[i] * std::numbers::sqrt2 / 2);
    const double density =
        std::exp(-0.5 * x[i] * x[i]) * std::numbers::inv_sqrtpi / std::numbers::sqrt2;
    d[i] *= below + x[i] * density;
    y[i] = x[i] * below;
  }
}

CLTRAIN_SIMD void transpose(int64_t rows, int64_t width, const float* x, float* y) {
  transpose_tile(rows, width, x, y);
}
CLTRAIN_SIMD void transpose(int64_t rows, int64_t width, const double* x, double* y) {
  transpose_tile(rows, width, x, y);
}

}  // namespace cltrain
