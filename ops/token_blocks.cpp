#include "ops/token_blocks.h"

#include "ops/token_blocks_fused.h"

#include <c10/util/Exception.h>

namespace cltrain {
namespace {

// float32 and float64 on the CPU are fused.
bool fuses(const at::Tensor& weight) {
  return weight.is_cpu() &&
         (weight.scalar_type() == at::kFloat || weight.scalar_type() == at::kDouble);
}

at::Tensor tokens_of(const at::Tensor& x, int64_t width, const at::Tensor& weight) {
  TORCH_CHECK(x.dim() == 2 && x.size(1) == width, "tokens are [T, ", width, "]; received ",
              x.sizes());
  return x.to(weight.scalar_type()).contiguous();
}

DenseWeights checked(const DenseWeights& dense, int64_t in) {
  TORCH_CHECK(dense.weight.dim() == 2 && dense.weight.size(1) == in && dense.bias.dim() == 1 &&
                  dense.bias.size(0) == dense.weight.size(0),
              "dense layer on tokens of width ", in, ": weight ", dense.weight.sizes(), ", bias ",
              dense.bias.sizes(), "; allowed: [out, ", in, "] and [out]");
  return {dense.weight.contiguous(), dense.bias.contiguous()};
}

NormWeights checked(const NormWeights& norm, int64_t width) {
  TORCH_CHECK(norm.weight.numel() == width && norm.bias.numel() == width,
              "norm of tokens of width ", width, ": weight ", norm.weight.sizes(), ", bias ",
              norm.bias.sizes());
  return {norm.weight.contiguous(), norm.bias.contiguous(), norm.epsilon};
}

TokenDropout checked(const TokenDropout& dropout, const TokenRows& rows) {
  check_dropout(dropout, rows);
  TokenDropout local = dropout;
  if (dropout.probability > 0) local.sample_ids = dropout.sample_ids.cpu().contiguous();
  return local;
}

void check_count(const at::Tensor& x, const TokenRows& rows) {
  TORCH_CHECK(x.size(0) == rows.tokens(), "tokens are [", rows.tokens(), ", d]; received ",
              x.sizes());
}

}  // namespace

at::Tensor embedding_block(const TokenRows& rows, const at::Tensor& item_table,
                           const at::Tensor& position_table, const NormWeights& norm,
                           const TokenDropout& dropout) {
  TORCH_CHECK(position_table.size(0) >= rows.length, "embedding: rows of ", rows.length,
              " slots; the position table has ", position_table.size(0));
  if (!fuses(item_table))
    return composed::embedding_block(rows, item_table, position_table, norm, dropout);
  return fused::embedding_block(rows, item_table.contiguous(), position_table.contiguous(),
                                checked(norm, item_table.size(1)), checked(dropout, rows));
}

at::Tensor token_linear(const at::Tensor& x, const DenseWeights& dense) {
  if (!fuses(dense.weight)) return composed::token_linear(x, dense);
  const DenseWeights weights = checked(dense, x.size(1));
  return fused::token_linear(tokens_of(x, weights.weight.size(1), weights.weight), weights);
}

at::Tensor dense_block(const at::Tensor& x, const at::Tensor& residual, const DenseWeights& dense,
                       Activation activation, const NormWeights& norm, const TokenRows& rows,
                       const TokenDropout& dropout) {
  check_count(x, rows);
  check_count(residual, rows);
  if (!fuses(dense.weight))
    return composed::dense_block(x, residual, dense, activation, norm, rows, dropout);
  const DenseWeights weights = checked(dense, x.size(1));
  const int64_t width = weights.weight.size(0);
  return fused::dense_block(tokens_of(x, x.size(1), weights.weight),
                            tokens_of(residual, width, weights.weight), weights, activation,
                            checked(norm, width), rows, checked(dropout, rows));
}

at::Tensor feed_forward_block(const at::Tensor& x, const DenseWeights& first,
                              const DenseWeights& second, const NormWeights& norm,
                              const TokenRows& rows, const TokenDropout& dropout) {
  check_count(x, rows);
  if (!fuses(first.weight))
    return composed::feed_forward_block(x, first, second, norm, rows, dropout);
  const int64_t width = x.size(1);
  const DenseWeights one = checked(first, width), two = checked(second, one.weight.size(0));
  TORCH_CHECK(two.weight.size(0) == width, "feed-forward block on tokens of width ", width,
              ": its second weight is ", two.weight.sizes());
  return fused::feed_forward_block(tokens_of(x, width, one.weight), one, two, checked(norm, width),
                                   rows, checked(dropout, rows));
}

}  // namespace cltrain
