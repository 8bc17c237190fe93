// Dot products of rows with rows, in float64: what positives and the gradient of the scale are made
// of. Pure; no autograd; the same bits at any number of threads.
#pragma once

#include <ATen/core/Tensor.h>

namespace cltrain {

/// <a_i, b_i>: a and b [n, D] on one device, float32, float64 or bfloat16 each -> [n] float64. On
/// the CPU products and sums are float64 and nothing of the size of a is allocated.
at::Tensor row_dots(const at::Tensor& a, const at::Tensor& b);

}  // namespace cltrain
