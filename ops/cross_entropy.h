// Softmax cross-entropy of labelled rows: the loss of classifiers. One rank, pure; any device.
#pragma once

#include <ATen/core/Tensor.h>

namespace cltrain {

/// logits [N, C] of any floating type, labels [N] int64 on their device -> [N] float64. With p =
/// softmax(logits_i) and the smoothing s of Szegedy et al., arXiv 1512.00567, section 7,
///   l_i = -(1 - s) log p_y(i) - s/C sum_c log p_c;
/// 0 without a gradient where the label is -1. Differentiable in the logits. N may be 0: the sum is
/// then 0 with a graph. Callers count the labelled rows and divide as they need.
/// Throws c10::Error for shapes that do not fit and, on the CPU, for a label of C or more.
at::Tensor cross_entropy_rows(const at::Tensor& logits, const at::Tensor& labels,
                              double smoothing = 0);

}  // namespace cltrain
