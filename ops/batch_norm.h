// The arithmetic of batch normalisation, cut where ranks exchange statistics
// (dist/sync_batch_norm):
//   moments of the local rows -> (combined over ranks) -> normalise,
//   gradient sums of the local rows -> (summed over ranks) -> input gradient.
// Source: Ioffe and Szegedy, arXiv 1502.03167, algorithm 1 and the gradients of section 3.
//
// Pure, one rank, thread-safe. Inputs x are [N, C] or [N, C, ...], N = 0 allowed, float32, float64
// or bfloat16. Statistics are float64 [C] on x's device. CPU: own kernels, contiguous NCHW, and
// channels-last for bfloat16 (ops/batch_norm_bfloat16.h); CUDA: ATen's fused kernels.
#pragma once

#include <ATen/core/Tensor.h>

namespace cltrain {

/// [2C + 1] float64: mean of each channel, sum of squared deviations from it, number of values a
/// channel. Zeros where there are no rows.
at::Tensor channel_moments(const at::Tensor& x);

/// Merges the moments of several parts [R, 2C + 1] in row order into [2C + 1] (Chan, Golub,
/// LeVeque, 1979): no cancellation, and the same bits on every rank that merges the same rows.
at::Tensor merge_moments(const at::Tensor& parts);

/// (x - mean) * inverse_deviation * weight + bias, in x's type. weight and bias may be undefined.
at::Tensor channel_normalize(const at::Tensor& x, const at::Tensor& mean,
                             const at::Tensor& inverse_deviation, const at::Tensor& weight,
                             const at::Tensor& bias);

/// [2, C] float64: sum of dy, and sum of dy * (x - mean) * inverse_deviation, over the local rows.
at::Tensor channel_gradient_sums(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& mean,
                                 const at::Tensor& inverse_deviation);

/// (dy - mean_dy - normalised x * mean_dy_x) * inverse_deviation * weight, where the two means are
/// channel_gradient_sums over all rows divided by their number ([2, C] float64).
at::Tensor channel_input_gradient(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& mean,
                                  const at::Tensor& inverse_deviation, const at::Tensor& weight,
                                  const at::Tensor& mean_gradients);

}  // namespace cltrain
