#include "ops/token_blocks.h"

#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>

namespace cltrain::composed {
namespace {

using NoAutocast = c10::impl::ExcludeDispatchKeyGuard;

at::Tensor normalised(const at::Tensor& x, const NormWeights& norm) {
  return at::layer_norm(x, norm.weight.sizes(), norm.weight, norm.bias, norm.epsilon);
}

}  // namespace

at::Tensor embedding_block(const TokenRows& rows, const at::Tensor& item_table,
                           const at::Tensor& position_table, const NormWeights& norm,
                           const TokenDropout& dropout) {
  const NoAutocast guard(c10::autocast_dispatch_keyset);
  const at::Tensor sum = at::embedding(item_table, rows.ids, /*padding_idx=*/0) +
                         at::embedding(position_table, rows.slots);
  return token_dropout(normalised(sum, norm), rows, dropout);
}

at::Tensor token_linear(const at::Tensor& x, const DenseWeights& dense) {
  const NoAutocast guard(c10::autocast_dispatch_keyset);
  return at::linear(x, dense.weight, dense.bias);
}

at::Tensor dense_block(const at::Tensor& x, const at::Tensor& residual, const DenseWeights& dense,
                       Activation activation, const NormWeights& norm, const TokenRows& rows,
                       const TokenDropout& dropout) {
  const NoAutocast guard(c10::autocast_dispatch_keyset);
  at::Tensor y = at::linear(x, dense.weight, dense.bias);
  if (activation == Activation::kGelu) y = at::gelu(y);
  return normalised(residual + token_dropout(y, rows, dropout), norm);
}

at::Tensor feed_forward_block(const at::Tensor& x, const DenseWeights& first,
                              const DenseWeights& second, const NormWeights& norm,
                              const TokenRows& rows, const TokenDropout& dropout) {
  const NoAutocast guard(c10::autocast_dispatch_keyset);
  const at::Tensor inner = at::gelu(at::linear(x, first.weight, first.bias));
  const at::Tensor y = at::linear(inner, second.weight, second.bias);
  return normalised(x + token_dropout(y, rows, dropout), norm);
}

}  // namespace cltrain::composed
