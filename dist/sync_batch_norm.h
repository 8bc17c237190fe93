// Batch normalisation over the rows of all ranks, weighted by count: statistics, and so gradients,
// are those of one process that holds every row. A rank without rows takes part with count 0. Own
// autograd function; two collectives a call (an all-gather of moments forward, an all-reduce of two
// sums backward). With `communicator` of one rank, or null, the statistics are the local rows'.
#pragma once

#include "dist/communicator.h"

#include <ATen/core/Tensor.h>

namespace cltrain {

/// Statistics of one forward pass, for the running averages; detached, float64.
struct BatchStatistics {
  at::Tensor mean;               ///< [C]
  at::Tensor unbiased_variance;  ///< [C]: sum of squares / (count - 1)
};

/// x [N, C, ...] -> the same shape and type. weight and bias [C] or undefined; their gradients are
/// this rank's share (GradientSum adds the ranks). Fills `statistics`.
at::Tensor sync_batch_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           double epsilon, const Communicator* communicator,
                           BatchStatistics& statistics);

/// relu(sync_batch_norm(x) + addend); addend has x's shape and type, or is undefined. bfloat16 on
/// the CPU is computed in one pass over memory and rounded once; anything else is put together.
at::Tensor sync_batch_norm_relu(const at::Tensor& x, const at::Tensor& addend,
                                const at::Tensor& weight, const at::Tensor& bias, double epsilon,
                                const Communicator* communicator, BatchStatistics& statistics);

}  // namespace cltrain
