// Rows from wherever they are: how batches change places between ranks, for shuffled batch norm.
#pragma once

#include "dist/communicator.h"

#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

/// local [rows[rank], ...]: this rank's rows of a global tensor, in rank order. Returns the rows
/// `wanted` (global numbers, any, in any order) as [wanted, ...]. Without gradient. The blocks of
/// the ranks travel round the ring, so that a rank holds three blocks and not all rows. Collective.
at::Tensor take_rows(const at::Tensor& local, const std::vector<int64_t>& wanted,
                     const std::vector<int64_t>& rows, const Communicator& communicator);

}  // namespace cltrain
