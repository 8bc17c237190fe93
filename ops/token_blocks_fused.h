// The blocks of ops/token_blocks.h on the CPU, checked arguments: tensors contiguous and of one
// type, float32 or float64; sample_ids on the CPU.
#pragma once

#include "ops/token_blocks.h"

namespace cltrain::fused {

at::Tensor embedding_block(const TokenRows& rows, const at::Tensor& item_table,
                           const at::Tensor& position_table, const NormWeights& norm,
                           const TokenDropout& dropout);
at::Tensor token_linear(const at::Tensor& x, const DenseWeights& dense);
at::Tensor dense_block(const at::Tensor& x, const at::Tensor& residual, const DenseWeights& dense,
                       Activation activation, const NormWeights& norm, const TokenRows& rows,
                       const TokenDropout& dropout);
at::Tensor feed_forward_block(const at::Tensor& x, const DenseWeights& first,
                              const DenseWeights& second, const NormWeights& norm,
                              const TokenRows& rows, const TokenDropout& dropout);

}  // namespace cltrain::fused
