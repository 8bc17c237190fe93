// The arithmetic of ops/batch_norm.h for bfloat16 on the CPU, as networks under autocast have it:
// bfloat16 is read and written, everything between is float32, statistics are float64. A ReLU, and
// the sum of a residual block before it, can be taken along: each saves a pass over memory, which
// is what these loops wait for.
//
// Pure, one rank, thread-safe, the same bits at any number of threads. x is [N, C, ...] with N = 0
// allowed; the loops run over rows of channels, so channels-last tensors (and [N, C]) are taken as
// they lie and others are copied. Results are channels-last. Statistics are float64 [C]; weight and
// bias may be undefined. For what is summed and divided by what see ops/batch_norm.h.
#pragma once

#include <ATen/core/Tensor.h>

namespace cltrain {

/// Whether x is of the kind that these functions take: bfloat16 on the CPU.
bool is_cpu_bfloat16(const at::Tensor& x);

/// As channel_moments(). One pass over memory: blocks of rows are merged like parts of ranks.
at::Tensor bfloat16_moments(const at::Tensor& x);  // [N, C, ...] -> [2C + 1] float64

/// As channel_normalize(), then + addend (x's shape, or undefined), then ReLU where `relu` is set;
/// rounded once, at the end.
at::Tensor bfloat16_normalize(const at::Tensor& x, const at::Tensor& mean,
                              const at::Tensor& inverse_deviation, const at::Tensor& weight,
                              const at::Tensor& bias, const at::Tensor& addend, bool relu);

/// As channel_gradient_sums(). `y` is the result of a normalisation with ReLU, whose zeros let no
/// gradient through, or undefined.
at::Tensor bfloat16_gradient_sums(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& y,
                                  const at::Tensor& mean,
                                  const at::Tensor& inverse_deviation);  // -> [2, C] float64

/// As channel_input_gradient(), `y` as above.
at::Tensor bfloat16_input_gradient(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& y,
                                   const at::Tensor& mean, const at::Tensor& inverse_deviation,
                                   const at::Tensor& weight, const at::Tensor& mean_gradients);

}  // namespace cltrain
