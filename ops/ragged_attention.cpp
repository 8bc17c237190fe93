#include "ops/ragged_attention.h"

#include "ops/dropout.h"
#include "ops/ragged_attention_kernel.h"

#include <cmath>
#include <limits>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/softmax.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

namespace cltrain {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kGrainTokens = 256;  // a thread takes at least so many, in whole rows

struct Shape {
  int64_t rows, length, heads, head_dim;
  const int64_t* offset;

  int64_t tokens(int64_t row) const { return offset[row + 1] - offset[row]; }
  int64_t matrix(int64_t row) const { return tokens(row) * attention_width(tokens(row)); }
};

// Where each row's weights begin.
std::vector<int64_t> weight_offsets(const Shape& shape) {
  std::vector<int64_t> begins(shape.rows + 1, 0);
  for (int64_t row = 0; row < shape.rows; ++row)
    begins[row + 1] = begins[row] + shape.heads * shape.matrix(row);
  return begins;
}

// visit(row, scratch) for every row; rows are cut by their tokens, which differ.
template <class Real, class Visit>
void for_each_row(const Shape& shape, Visit&& visit) {
  const int64_t tokens = shape.offset[shape.rows];
  at::parallel_for(0, tokens, kGrainTokens, [&](int64_t begin, int64_t end) {
    const int64_t* last = shape.offset + shape.rows;
    int64_t row = std::lower_bound(shape.offset, last, begin) - shape.offset;
    std::vector<Real> scratch(attention_scratch(shape.length, shape.head_dim));
    for (; row < shape.rows && shape.offset[row] < end; ++row) visit(row, scratch.data());
  });
}

template <class Real>
AttentionHead<Real> head_of(const Shape& shape, int64_t row, int64_t head, const Real* qkv,
                            const int64_t* ids, double keep_scale, Real* scratch) {
  const int64_t dim = shape.heads * shape.head_dim;
  const Real* q = qkv + shape.offset[row] * 3 * dim + head * shape.head_dim;
  return {.q = q,
          .k = q + dim,
          .v = q + 2 * dim,
          .stride = 3 * dim,
          .tokens = shape.tokens(row),
          .head_dim = shape.head_dim,
          .ids = ids + shape.offset[row],
          .scale = static_cast<Real>(1 / std::sqrt(static_cast<double>(shape.head_dim))),
          .keep_scale = static_cast<Real>(keep_scale),
          .scratch = scratch};
}

template <class Real>
void attend_rows(const Shape& shape, const at::Tensor& qkv, const at::Tensor& ids,
                 const TokenDropout& dropout, at::Tensor& weights, at::Tensor& context) {
  const std::vector<int64_t> begins = weight_offsets(shape);
  const int64_t dim = shape.heads * shape.head_dim, length = shape.length;
  const auto* in = qkv.const_data_ptr<Real>();
  const auto* id = ids.const_data_ptr<int64_t>();
  auto *p = weights.mutable_data_ptr<Real>(), *out = context.mutable_data_ptr<Real>();
  const bool drops = dropout.probability > 0;
  const auto* sample = drops ? dropout.sample_ids.const_data_ptr<int64_t>() : nullptr;
  const uint32_t threshold = dropout_threshold(dropout.probability);
  for_each_row<Real>(shape, [&](int64_t row, Real* scratch) {
    const int64_t n = shape.tokens(row), start = length - n;
    std::vector<uint8_t> keep(drops ? n * length : 0);
    for (int64_t head = 0; head < shape.heads; ++head) {
      if (drops)
        dropout_keep(keep.data(), n * length, sample[row],
                     static_cast<uint64_t>((head * length + start) * length), threshold,
                     dropout.key, dropout.view, dropout.site);
      attend(head_of(shape, row, head, in, id, drops ? dropout.scale() : 1, scratch),
             drops ? keep.data() + start : nullptr, length,
             p + begins[row] + head * shape.matrix(row),
             out + shape.offset[row] * dim + head * shape.head_dim, dim);
    }
  });
}

template <class Real>
void attend_rows_backward(const Shape& shape, const at::Tensor& qkv, const at::Tensor& ids,
                          double keep_scale, const at::Tensor& weights, const at::Tensor& dcontext,
                          at::Tensor& dqkv) {
  const std::vector<int64_t> begins = weight_offsets(shape);
  const int64_t dim = shape.heads * shape.head_dim;
  const auto *in = qkv.const_data_ptr<Real>(), *p = weights.const_data_ptr<Real>(),
             *upstream = dcontext.const_data_ptr<Real>();
  const auto* id = ids.const_data_ptr<int64_t>();
  auto* out = dqkv.mutable_data_ptr<Real>();
  for_each_row<Real>(shape, [&](int64_t row, Real* scratch) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      Real* dq = out + shape.offset[row] * 3 * dim + head * shape.head_dim;
      attend_backward(head_of(shape, row, head, in, id, keep_scale, scratch),
                      AttentionGradients<Real>{
                          upstream + shape.offset[row] * dim + head * shape.head_dim, dim,
                          p + begins[row] + head * shape.matrix(row), dq, dq + dim, dq + 2 * dim});
    }
  });
}

Shape shape_of(const at::Tensor& qkv, const at::Tensor& row_offsets, int64_t length,
               int64_t heads) {
  return {row_offsets.size(0) - 1, length, heads, qkv.size(1) / 3 / heads,
          row_offsets.const_data_ptr<int64_t>()};
}

struct RaggedAttention : torch::autograd::Function<RaggedAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& ids, const at::Tensor& row_offsets, int64_t length,
                            int64_t heads, TokenDropout dropout) {
    const at::Tensor qkv = input.contiguous();
    const Shape shape = shape_of(qkv, row_offsets, length, heads);
    at::Tensor weights = at::empty({weight_offsets(shape).back()}, qkv.options());
    at::Tensor y = at::empty({qkv.size(0), qkv.size(1) / 3}, qkv.options());
    if (qkv.scalar_type() == at::kFloat)
      attend_rows<float>(shape, qkv, ids, dropout, weights, y);
    else
      attend_rows<double>(shape, qkv, ids, dropout, weights, y);
    context->save_for_backward({qkv, ids, row_offsets, weights});
    context->saved_data["sizes"] = std::vector<int64_t>{length, heads};
    context->saved_data["scale"] = dropout.probability > 0 ? dropout.scale() : 1.0;
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto sizes = context->saved_data["sizes"].toIntVector();
    const at::Tensor &qkv = saved[0], dcontext = gradients[0].contiguous();
    const Shape shape = shape_of(qkv, saved[2], sizes[0], sizes[1]);
    const double scale = context->saved_data["scale"].toDouble();
    at::Tensor dqkv = at::empty_like(qkv);
    if (qkv.scalar_type() == at::kFloat)
      attend_rows_backward<float>(shape, qkv, saved[1], scale, saved[3], dcontext, dqkv);
    else
      attend_rows_backward<double>(shape, qkv, saved[1], scale, saved[3], dcontext, dqkv);
    return {dqkv, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor checked(const at::Tensor& qkv, const TokenRows& rows, int64_t heads,
                   const TokenDropout& dropout) {
  TORCH_CHECK(
      heads > 0 && qkv.dim() == 2 && qkv.size(0) == rows.tokens() && qkv.size(1) % (3 * heads) == 0,
      "attention: queries, keys and values are [", rows.tokens(),
      ", 3 d] with d a multiple "
      "of ",
      heads, " heads; received ", qkv.sizes());
  TORCH_CHECK(qkv.is_floating_point(), "attention of ", qkv.scalar_type(), "; allowed: floats");
  check_dropout(dropout, rows);
  return qkv.scalar_type() == at::kDouble ? qkv : qkv.to(at::kFloat);
}

}  // namespace

at::Tensor ragged_attention(const at::Tensor& qkv, const TokenRows& rows, int64_t heads,
                            const TokenDropout& dropout) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  if (!qkv.is_cpu()) return padded_attention(qkv, rows, heads, dropout);
  TokenDropout local = dropout;
  if (dropout.probability > 0) local.sample_ids = dropout.sample_ids.cpu().contiguous();
  return RaggedAttention::apply(checked(qkv, rows, heads, local), rows.ids, rows.row_offsets,
                                rows.length, heads, local);
}

at::Tensor padded_attention(const at::Tensor& qkv, const TokenRows& rows, int64_t heads,
                            const TokenDropout& dropout) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const int64_t count = rows.rows(), length = rows.length;
  const at::Tensor padded = to_padded(checked(qkv, rows, heads, dropout), rows);
  const int64_t dim = qkv.size(1) / 3;
  const std::vector<at::Tensor> parts =
      padded.view({count, length, 3, heads, dim / heads}).permute({2, 0, 3, 1, 4}).unbind();
  const at::Tensor items = to_padded(rows.ids.ne(0).to(padded.scalar_type()).unsqueeze(1), rows)
                               .view({count, 1, 1, length})
                               .ne(0);
  at::Tensor seen = at::ones({length, length}, items.options()).tril().logical_and(items);
  seen = seen.logical_or(seen.any(-1, /*keepdim=*/true).logical_not());
  const double scale = 1 / std::sqrt(static_cast<double>(dim / heads));
  at::Tensor weights =
      at::softmax((at::matmul(parts[0], parts[1].transpose(-2, -1)) * scale)
                      .masked_fill(seen.logical_not(), -std::numeric_limits<double>::infinity()),
                  -1);
  if (dropout.probability > 0)
    weights = keyed_dropout(weights.flatten(1), dropout.sample_ids, dropout.probability,
                            dropout.key, dropout.view, dropout.site)
                  .view_as(weights);
  const at::Tensor context = at::matmul(weights, parts[2]);
  return context.transpose(1, 2).reshape({count * length, dim}).index_select(0, rows.places);
}

}  // namespace cltrain
