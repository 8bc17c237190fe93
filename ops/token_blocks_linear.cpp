// The fused blocks without a norm behind a product: embeddings and the plain linear layer.
#include "ops/token_blocks_fused.h"
#include "ops/token_tiles.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/embedding_dense_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

namespace cltrain::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class Real>
at::Tensor linear_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const int64_t in = x.size(1), out = weight.size(0);
  const at::Tensor turned = weight.t().contiguous(), y = at::empty({x.size(0), out}, x.options());
  for_each_tile<Real>(cut_tokens(x.size(0)), 0, 0, [&](const TokenTile<Real>& tile) {
    Real* to = y.mutable_data_ptr<Real>() + tile.begin * out;
    multiply_tile(TileProduct<Real>{tile.count, out, in, x.const_data_ptr<Real>() + tile.begin * in,
                                    in, turned.const_data_ptr<Real>(), out, to, out, false});
    add_bias(tile.count, out, bias.const_data_ptr<Real>(), to);
  });
  return y;
}

template <class Real>
variable_list linear_backward(const at::Tensor& upstream, const at::Tensor& x,
                              const at::Tensor& weight) {
  const int64_t in = x.size(1), out = weight.size(0), product = in * out;
  const TokenCut cut = cut_tokens(x.size(0));
  const at::Tensor sums = at::zeros({cut.chunks, product + out}, x.options());
  const at::Tensor dx = at::empty_like(x);
  for_each_tile<Real>(cut, std::min(in, out), 0, [&](const TokenTile<Real>& tile) {
    Real* sum = sums.mutable_data_ptr<Real>() + tile.chunk * sums.size(1);
    const Real* dy = upstream.const_data_ptr<Real>() + tile.begin * out;
    add_rows(tile.count, out, dy, sum + product);
    add_weight_gradient(tile.count, in, out, x.const_data_ptr<Real>() + tile.begin * in, dy,
                        tile.scratch, sum);
    multiply_tile(TileProduct<Real>{tile.count, in, out, dy, out, weight.const_data_ptr<Real>(), in,
                                    dx.mutable_data_ptr<Real>() + tile.begin * in, in, false});
  });
  const std::vector<at::Tensor> parts = sums.sum(0).split_with_sizes({product, out});
  return {dx, weight_sum(parts[0], in, out), parts[1]};
}

struct TokenLinear : torch::autograd::Function<TokenLinear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias) {
    context->save_for_backward({x, weight});
    return (x.scalar_type() == at::kFloat ? linear_forward<float>
                                          : linear_forward<double>)(x, weight, bias);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    return (saved[0].scalar_type() == at::kFloat
                ? linear_backward<float>
                : linear_backward<double>)(gradients[0].contiguous(), saved[0], saved[1]);
  }
};

// --- drop(LN(item_table[id] + position_table[slot]))
// -------------------------------------------------

struct EmbeddingPlan {
  const TokenRows& rows;
  TokenDropout dropout;
  double epsilon;
};

/// What backward reads.
struct EmbeddingRecord {
  at::Tensor normalised, inverse, keep;
};

template <class Real>
void copy_row(const Real* table, int64_t row, int64_t width, Real* to) {
  std::copy_n(table + row * width, width, to);
}

template <class Real>
void embedding_forward(const at::Tensor& items, const at::Tensor& positions,
                       const at::Tensor& norm_weight, const at::Tensor& norm_bias,
                       const EmbeddingPlan& plan, const EmbeddingRecord& record, at::Tensor& out) {
  const int64_t width = items.size(1), known = items.size(0);
  const auto *id = plan.rows.ids.const_data_ptr<int64_t>(),
             *slot = plan.rows.slots.const_data_ptr<int64_t>();
  const bool drops = plan.dropout.probability > 0;
  for_each_tile<Real>(cut_tokens(out.size(0)), 2 * width, 0, [&](const TokenTile<Real>& tile) {
    Real *item = tile.scratch, *position = item + kTokenTile * width;
    for (int64_t i = 0; i < tile.count; ++i) {
      const int64_t token = tile.begin + i;
      TORCH_CHECK(id[token] < known, "embedding: item ", id[token], " at token ", token,
                  "; the table has rows 0 to ", known - 1);
      copy_row(items.const_data_ptr<Real>(), id[token], width, item + i * width);
      copy_row(positions.const_data_ptr<Real>(), slot[token], width, position + i * width);
    }
    Real* y = out.mutable_data_ptr<Real>() + tile.begin * width;
    normalise(NormTile<Real>{
        .rows = tile.count,
        .width = width,
        .residual = item,
        .y = position,
        .y_bias = nullptr,
        .keep = nullptr,
        .keep_scale = 1,
        .weight = norm_weight.const_data_ptr<Real>(),
        .bias = norm_bias.const_data_ptr<Real>(),
        .epsilon = static_cast<Real>(plan.epsilon),
        .normalised = record.normalised.mutable_data_ptr<Real>() + tile.begin * width,
        .inverse = record.inverse.mutable_data_ptr<Real>() + tile.begin,
        .out = y});
    if (!drops) return;
    uint8_t* keep = record.keep.mutable_data_ptr<uint8_t>() + tile.begin * width;
    token_keep(plan.rows, plan.dropout, width, tile.begin, tile.begin + tile.count, keep);
    drop(DropTile<Real>{tile.count, width, y, keep, static_cast<Real>(plan.dropout.scale()), y});
  });
}

/// The gradient of each token's sum of embeddings, and of the norm's weight and bias.
template <class Real>
variable_list embedding_backward(const at::Tensor& upstream, const at::Tensor& norm_weight,
                                 const EmbeddingRecord& record, double keep_scale) {
  const int64_t width = upstream.size(1);
  const TokenCut cut = cut_tokens(upstream.size(0));
  const at::Tensor sums = at::zeros({cut.chunks, 2 * width}, upstream.options());
  const at::Tensor dsum = at::empty_like(upstream);
  for_each_tile<Real>(cut, 0, 0, [&](const TokenTile<Real>& tile) {
    const int64_t begin = tile.begin * width;
    Real *sum = sums.mutable_data_ptr<Real>() + tile.chunk * 2 * width,
         *d = dsum.mutable_data_ptr<Real>() + begin;
    drop(DropTile<Real>{
        tile.count, width, upstream.const_data_ptr<Real>() + begin,
        record.keep.defined() ? record.keep.const_data_ptr<uint8_t>() + begin : nullptr,
        static_cast<Real>(keep_scale), d});
    normalise_backward(NormGradientTile<Real>{
        tile.count, width, d, record.normalised.const_data_ptr<Real>() + begin,
        record.inverse.const_data_ptr<Real>() + tile.begin, norm_weight.const_data_ptr<Real>(), d,
        sum, sum + width});
  });
  const std::vector<at::Tensor> parts = sums.sum(0).split(width);
  return {dsum, parts[0], parts[1]};
}

struct EmbeddingBlock : torch::autograd::Function<EmbeddingBlock> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& items,
                            const at::Tensor& positions, const at::Tensor& norm_weight,
                            const at::Tensor& norm_bias, const EmbeddingPlan* plan) {
    const TokenRows& rows = plan->rows;
    at::Tensor out = at::empty({rows.tokens(), items.size(1)}, items.options());
    const EmbeddingRecord record{
        at::empty_like(out), at::empty({rows.tokens()}, items.options()),
        plan->dropout.probability > 0 ? at::empty(out.sizes(), at::kByte) : at::Tensor()};
    (items.scalar_type() == at::kFloat
         ? embedding_forward<float>
         : embedding_forward<double>)(items, positions, norm_weight, norm_bias, *plan, record, out);
    context->save_for_backward(
        {norm_weight, record.normalised, record.inverse, record.keep, rows.ids, rows.slots});
    context->saved_data["scale"] = plan->dropout.scale();
    context->saved_data["sizes"] = std::vector<int64_t>{items.size(0), positions.size(0)};
    return out;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto sizes = context->saved_data["sizes"].toIntVector();
    const EmbeddingRecord record{saved[1], saved[2], saved[3]};
    const variable_list found =
        (saved[0].scalar_type() == at::kFloat
             ? embedding_backward<float>
             : embedding_backward<double>)(gradients[0].contiguous(), saved[0], record,
                                           context->saved_data["scale"].toDouble());
    const auto rows_of = [&](const at::Tensor& index, int64_t count, int64_t padding) {
      return at::embedding_dense_backward(found[0], index, count, padding,
                                          /*scale_grad_by_freq=*/false);
    };
    return {rows_of(saved[4], sizes[0], 0), rows_of(saved[5], sizes[1], -1), found[1], found[2],
            at::Tensor()};
  }
};

}  // namespace

at::Tensor token_linear(const at::Tensor& x, const DenseWeights& dense) {
  return TokenLinear::apply(x, dense.weight, dense.bias);
}

at::Tensor embedding_block(const TokenRows& rows, const at::Tensor& item_table,
                           const at::Tensor& position_table, const NormWeights& norm,
                           const TokenDropout& dropout) {
  const EmbeddingPlan plan{rows, dropout, norm.epsilon};
  return EmbeddingBlock::apply(item_table, position_table, norm.weight, norm.bias, &plan);
}

}  // namespace cltrain::fused
