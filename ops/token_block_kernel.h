// Passes over a tile of tokens [rows][width] in the cache, for ops/token_blocks.h: what lies
// between its products. Free of torch; pure; float32 and float64. Gradients of weights are added to
// what their destination holds.
#pragma once

#include <cstdint>

namespace cltrain {

template <class Real>
struct NormTile {
  int64_t rows, width;
  const Real *residual, *y;
  const Real* y_bias;   ///< [width], null: none
  const uint8_t* keep;  ///< [rows][width], null: all
  Real keep_scale;
  const Real *weight, *bias;  ///< [width]
  Real epsilon;
  Real* normalised;  ///< [rows][width]
  Real* inverse;     ///< [rows], one over the deviation
  Real* out;         ///< [rows][width]
};
/// out = LN(residual + drop(y + y_bias)).
void normalise(const NormTile<float>& tile);
void normalise(const NormTile<double>& tile);

template <class Real>
struct NormGradientTile {
  int64_t rows, width;
  const Real *upstream, *normalised, *inverse, *weight;
  Real* dsum;             ///< [rows][width]: of what was normalised; may be `upstream`
  Real *dweight, *dbias;  ///< [width]
};
void normalise_backward(const NormGradientTile<float>& tile);
void normalise_backward(const NormGradientTile<double>& tile);

template <class Real>
struct DropTile {
  int64_t rows, width;
  const Real* x;
  const uint8_t* keep;  ///< null: all
  Real keep_scale;
  Real* y;  ///< x where kept, scaled, else 0; may be x
};
void drop(const DropTile<float>& tile);
void drop(const DropTile<double>& tile);

/// x += bias.
void add_bias(int64_t rows, int64_t width, const float* bias, float* x);
void add_bias(int64_t rows, int64_t width, const double* bias, double* x);
/// sums [width] += the rows of x.
void add_rows(int64_t rows, int64_t width, const float* x, float* sums);
void add_rows(int64_t rows, int64_t width, const double* x, double* sums);

/// x += bias; y = GELU(x) = x Phi(x). Phi of float32 to 1e-7.
void gelu(int64_t rows, int64_t width, const float* bias, float* x, float* y);
void gelu(int64_t rows, int64_t width, const double* bias, double* x, double* y);
/// d *= GELU'(x); y = GELU(x) once more.
void gelu_backward(int64_t rows, int64_t width, const float* x, float* d, float* y);
void gelu_backward(int64_t rows, int64_t width, const double* x, double* d, double* y);

/// [rows][width] -> [width][rows].
void transpose(int64_t rows, int64_t width, const float* x, float* y);
void transpose(int64_t rows, int64_t width, const double* x, double* y);

}  // namespace cltrain
