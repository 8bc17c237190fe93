// The blocks that a post-norm transformer on tokens (ops/token_rows.h) is made of, each one fused
// operator on the CPU, as small kernels and passes over memory would cost more than the products:
//
//   embedding_block     drop(LN(item_table[id] + position_table[slot]))
//   token_linear        x W^T + b
//   dense_block         LN(residual + drop(x W^T + b)), or with GELU(x W^T + b) there
//   feed_forward_block  LN(x + drop(GELU(x W_1^T + b_1) W_2^T + b_2))
//
// LN normalises the channels of a token; GELU is the exact one, x Phi(x). Dropout is that of
// ops/token_dropout.h over the block's channels. All tensors are of the weights' type, float32 or
// float64, under autocast too. Differentiable once, in every tensor but those of `rows`.
//
// Sums over tokens (gradients of weights) run in chunks whose number depends on T alone, which are
// added up in order: the number of intra-op threads changes no bit of float32. On CUDA, and in
// `composed`, LibTorch's operators compute the same. Called on each rank for its own rows.
// Thread-safe.
#pragma once

#include "ops/token_dropout.h"
#include "ops/token_rows.h"

#include <ATen/core/Tensor.h>

namespace cltrain {

struct DenseWeights {
  at::Tensor weight, bias;  ///< [out, in], [out]
};
struct NormWeights {
  at::Tensor weight, bias;  ///< [d]
  double epsilon;
};

/// item_table [items, d], position_table [at least L, d] -> [T, d]. Ids at or above `items` throw.
/// Row 0 of item_table, padding, is read like any other and gets no gradient.
at::Tensor embedding_block(const TokenRows& rows, const at::Tensor& item_table,
                           const at::Tensor& position_table, const NormWeights& norm,
                           const TokenDropout& dropout);

/// x [T, in] -> [T, out].
at::Tensor token_linear(const at::Tensor& x, const DenseWeights& dense);

enum class Activation { kNone, kGelu };

/// x [T, in], residual [T, d], dense [d, in] -> [T, d].
at::Tensor dense_block(const at::Tensor& x, const at::Tensor& residual, const DenseWeights& dense,
                       Activation activation, const NormWeights& norm, const TokenRows& rows,
                       const TokenDropout& dropout);

/// x [T, d], first [inner, d], second [d, inner] -> [T, d].
at::Tensor feed_forward_block(const at::Tensor& x, const DenseWeights& first,
                              const DenseWeights& second, const NormWeights& norm,
                              const TokenRows& rows, const TokenDropout& dropout);

/// The same out of LibTorch's operators, on any device.
namespace composed {
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
}  // namespace composed

}  // namespace cltrain
