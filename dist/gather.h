// All-gather with gradient: what makes negatives of every rank count in every rank's gradient.
//
// Forward: rows of all ranks in rank order. Backward: the gradients that all ranks hold for this
// rank's rows are summed (reduce-scatter), because the total loss is the sum of the ranks' shares.
// Collective on all ranks in forward and in backward; a rank without rows takes part in both.
#pragma once

#include "dist/communicator.h"

#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

/// local [rows[rank], ...] -> [sum(rows), ...], rank-major, differentiable.
at::Tensor gather_with_grad(const at::Tensor& local, const std::vector<int64_t>& rows,
                            const Communicator& communicator);

}  // namespace cltrain
