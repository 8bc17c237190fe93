#include "ops/token_blocks.h"

namespace cltrain {

at::Tensor embedding_block(const TokenRows& rows, const at::Tensor& item_table,
                           const at::Tensor& position_table, const NormWeights& norm,
                           const TokenDropout& dropout) {
  return composed::embedding_block(rows, item_table, position_table, norm, dropout);
}
at::Tensor token_linear(const at::Tensor& x, const DenseWeights& dense) {
  return composed::token_linear(x, dense);
}
at::Tensor dense_block(const at::Tensor& x, const at::Tensor& residual, const DenseWeights& dense,
                       Activation activation, const NormWeights& norm, const TokenRows& rows,
                       const TokenDropout& dropout) {
  return composed::dense_block(x, residual, dense, activation, norm, rows, dropout);
}
at::Tensor feed_forward_block(const at::Tensor& x, const DenseWeights& first,
                              const DenseWeights& second, const NormWeights& norm,
                              const TokenRows& rows, const TokenDropout& dropout) {
  return composed::feed_forward_block(x, first, second, norm, rows, dropout);
}

}  // namespace cltrain
