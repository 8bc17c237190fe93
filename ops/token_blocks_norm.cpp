// The blocks that end in residual, dropout and norm: everything between two passes over memory is
// done on tiles of tokens in the cache. Kept for backward: normalised values, the mask's bytes, and
// what GELU was taken of.
#include "ops/token_blocks_fused.h"
#include "ops/token_tiles.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

namespace cltrain::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// What does not depend on a block's tensors.
struct BlockPlan {
  const TokenRows& rows;
  TokenDropout dropout;
  double epsilon;
  bool gelu;   ///< of a dense block
  bool keeps;  ///< something for backward

  bool drops() const { return dropout.probability > 0; }
};

template <class Real>
const Real* in(const at::Tensor& tensor) {
  return tensor.const_data_ptr<Real>();
}

// Where a tile's part of [T, width] goes: into what backward reads, or into memory of the tile.
template <class Number>
Number* place(const at::Tensor& all, int64_t begin, int64_t width, Number* otherwise) {
  return all.defined() ? all.mutable_data_ptr<Number>() + begin * width : otherwise;
}

/// What a block leaves for its norm's backward, all undefined if nothing is kept.
struct NormRecord {
  at::Tensor normalised, inverse, keep;
};

NormRecord record_of(const at::Tensor& like, const BlockPlan& plan) {
  if (!plan.keeps) return {};
  return {at::empty_like(like), at::empty({like.size(0)}, like.options()),
          plan.drops() ? at::empty(like.sizes(), at::kByte) : at::Tensor()};
}

/// The norm's end of a block: out = LN(residual + drop(y + y_bias)). scratch: [tile][width + 1].
template <class Real>
void finish_tile(const TokenTile<Real>& tile, const BlockPlan& plan, const Real* residual,
                 const Real* y, const Real* y_bias, const at::Tensor& norm_weight,
                 const at::Tensor& norm_bias, const NormRecord& record, Real* scratch, Real* out) {
  const int64_t width = norm_weight.size(0);
  uint8_t* keep = nullptr;
  if (plan.drops()) {
    keep = place(record.keep, tile.begin, width, tile.keep);
    token_keep(plan.rows, plan.dropout, width, tile.begin, tile.begin + tile.count, keep);
  }
  normalise(
      NormTile<Real>{.rows = tile.count,
                     .width = width,
                     .residual = residual,
                     .y = y,
                     .y_bias = y_bias,
                     .keep = keep,
                     .keep_scale = static_cast<Real>(plan.dropout.scale()),
                     .weight = in<Real>(norm_weight),
                     .bias = in<Real>(norm_bias),
                     .epsilon = static_cast<Real>(plan.epsilon),
                     .normalised = place(record.normalised, tile.begin, width, scratch),
                     .inverse = place(record.inverse, tile.begin, 1, scratch + kTokenTile * width),
                     .out = out + tile.begin * width});
}

/// The other way: dsum, what reaches the residual, into `dresidual`, and through dropout into dy.
template <class Real>
void start_tile_backward(const TokenTile<Real>& tile, const at::Tensor& upstream,
                         const NormRecord& record, const at::Tensor& norm_weight, double keep_scale,
                         Real* dnorm_weight, Real* dnorm_bias, Real* dresidual, Real* dy) {
  const int64_t width = norm_weight.size(0), begin = tile.begin * width;
  normalise_backward(NormGradientTile<Real>{
      tile.count, width, in<Real>(upstream) + begin, in<Real>(record.normalised) + begin,
      in<Real>(record.inverse) + tile.begin, in<Real>(norm_weight), dresidual, dnorm_weight,
      dnorm_bias});
  drop(DropTile<Real>{tile.count, width, dresidual,
                      record.keep.defined() ? in<uint8_t>(record.keep) + begin : nullptr,
                      static_cast<Real>(keep_scale), dy});
}

// --- LN(residual + drop([GELU] (x W^T + b)))
// ---------------------------------------------------------

template <class Real>
void dense_forward(const at::Tensor& x, const at::Tensor& residual, const DenseWeights& dense,
                   const at::Tensor& norm_weight, const at::Tensor& norm_bias,
                   const BlockPlan& plan, const NormRecord& record, const at::Tensor& before,
                   at::Tensor& out) {
  const int64_t depth = x.size(1), width = out.size(1);
  const at::Tensor turned = dense.weight.t().contiguous();
  const Real* bias = in<Real>(dense.bias);
  for_each_tile<Real>(
      cut_tokens(x.size(0)), 3 * width + 1, width, [&](const TokenTile<Real>& tile) {
        Real *activated = tile.scratch, *rest = activated + kTokenTile * width;
        Real* y = place(before, tile.begin, width, rest + kTokenTile * (width + 1));
        multiply_tile(TileProduct<Real>{tile.count, width, depth, in<Real>(x) + tile.begin * depth,
                                        depth, in<Real>(turned), width, y, width, false});
        if (plan.gelu) gelu(tile.count, width, bias, y, activated);
        finish_tile(tile, plan, in<Real>(residual) + tile.begin * width, plan.gelu ? activated : y,
                    plan.gelu ? nullptr : bias, norm_weight, norm_bias, record, rest,
                    out.mutable_data_ptr<Real>());
      });
}

template <class Real>
variable_list dense_backward(const at::Tensor& upstream, const at::Tensor& x,
                             const at::Tensor& weight, const at::Tensor& norm_weight,
                             const NormRecord& record, const at::Tensor& before,
                             double keep_scale) {
  const int64_t depth = x.size(1), width = upstream.size(1), product = depth * width;
  const TokenCut cut = cut_tokens(x.size(0));
  const at::Tensor sums = at::zeros({cut.chunks, product + 3 * width}, x.options());
  const at::Tensor dx = at::empty_like(x), dresidual = at::empty_like(upstream);
  for_each_tile<Real>(cut, 2 * width + std::min(depth, width), 0, [&](const TokenTile<Real>& tile) {
    Real* sum = sums.mutable_data_ptr<Real>() + tile.chunk * sums.size(1);
    Real *dy = tile.scratch, *again = dy + kTokenTile * width;
    start_tile_backward(tile, upstream, record, norm_weight, keep_scale, sum + product + width,
                        sum + product + 2 * width,
                        dresidual.mutable_data_ptr<Real>() + tile.begin * width, dy);
    if (before.defined())
      gelu_backward(tile.count, width, in<Real>(before) + tile.begin * width, dy, again);
    add_rows(tile.count, width, dy, sum + product);
    add_weight_gradient(tile.count, depth, width, in<Real>(x) + tile.begin * depth, dy,
                        again + kTokenTile * width, sum);
    multiply_tile(TileProduct<Real>{tile.count, depth, width, dy, width, in<Real>(weight), depth,
                                    dx.mutable_data_ptr<Real>() + tile.begin * depth, depth,
                                    false});
  });
  const std::vector<at::Tensor> parts =
      sums.sum(0).split_with_sizes({product, width, width, width});
  return {dx, dresidual, weight_sum(parts[0], depth, width), parts[1], parts[2], parts[3]};
}

struct DenseBlock : torch::autograd::Function<DenseBlock> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& residual, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& norm_weight,
                            const at::Tensor& norm_bias, const BlockPlan* plan) {
    const NormRecord record = record_of(residual, *plan);
    const at::Tensor before = plan->keeps && plan->gelu ? at::empty_like(residual) : at::Tensor();
    at::Tensor out = at::empty_like(residual);
    (x.scalar_type() == at::kFloat ? dense_forward<float>
                                   : dense_forward<double>)(x, residual, {weight, bias},
                                                            norm_weight, norm_bias, *plan, record,
                                                            before, out);
    if (plan->keeps)
      context->save_for_backward(
          {x, weight, norm_weight, record.normalised, record.inverse, record.keep, before});
    context->saved_data["scale"] = plan->dropout.scale();
    return out;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const NormRecord record{saved[3], saved[4], saved[5]};
    variable_list found =
        (saved[0].scalar_type() == at::kFloat
             ? dense_backward<float>
             : dense_backward<double>)(gradients[0].contiguous(), saved[0], saved[1], saved[2],
                                       record, saved[6], context->saved_data["scale"].toDouble());
    found.emplace_back();
    return found;
  }
};

// --- LN(x + drop(GELU(x W_1^T + b_1) W_2^T + b_2))
// ---------------------------------------------------

template <class Real>
void feed_forward(const at::Tensor& x, const DenseWeights& first, const DenseWeights& second,
                  const at::Tensor& norm_weight, const at::Tensor& norm_bias, const BlockPlan& plan,
                  const NormRecord& record, const at::Tensor& before, at::Tensor& out) {
  const int64_t width = x.size(1), inner = first.weight.size(0);
  const at::Tensor turned_1 = first.weight.t().contiguous(),
                   turned_2 = second.weight.t().contiguous();
  for_each_tile<Real>(
      cut_tokens(x.size(0)), 2 * inner + 2 * width + 1, width, [&](const TokenTile<Real>& tile) {
        Real *activated = tile.scratch, *y = activated + kTokenTile * inner,
             *rest = y + kTokenTile * width;
        Real* hidden = place(before, tile.begin, inner, rest + kTokenTile * (width + 1));
        const Real* tokens = in<Real>(x) + tile.begin * width;
        multiply_tile(TileProduct<Real>{tile.count, inner, width, tokens, width, in<Real>(turned_1),
                                        inner, hidden, inner, false});
        gelu(tile.count, inner, in<Real>(first.bias), hidden, activated);
        multiply_tile(TileProduct<Real>{tile.count, width, inner, activated, inner,
                                        in<Real>(turned_2), width, y, width, false});
        finish_tile(tile, plan, tokens, y, in<Real>(second.bias), norm_weight, norm_bias, record,
                    rest, out.mutable_data_ptr<Real>());
      });
}

template <class Real>
variable_list feed_forward_backward(const at::Tensor& upstream, const at::Tensor& x,
                                    const at::Tensor& weight_1, const at::Tensor& weight_2,
                                    const at::Tensor& norm_weight, const NormRecord& record,
                                    const at::Tensor& before, double keep_scale) {
  const int64_t width = x.size(1), inner = weight_1.size(0), product = width * inner;
  const TokenCut cut = cut_tokens(x.size(0));
  const at::Tensor sums = at::zeros({cut.chunks, 2 * product + inner + 3 * width}, x.options());
  const at::Tensor dx = at::empty_like(x);
  for_each_tile<Real>(
      cut, 2 * inner + width + std::min(inner, width), 0, [&](const TokenTile<Real>& tile) {
        Real* sum_1 = sums.mutable_data_ptr<Real>() + tile.chunk * sums.size(1);
        Real *sum_2 = sum_1 + product, *biases = sum_2 + product, *norms = biases + inner + width;
        Real *dhidden = tile.scratch, *activated = dhidden + kTokenTile * inner,
             *dy = activated + kTokenTile * inner, *turned = dy + kTokenTile * width;
        Real* dtokens = dx.mutable_data_ptr<Real>() + tile.begin * width;
        start_tile_backward(tile, upstream, record, norm_weight, keep_scale, norms, norms + width,
                            dtokens, dy);
        multiply_tile(TileProduct<Real>{tile.count, inner, width, dy, width, in<Real>(weight_2),
                                        inner, dhidden, inner, false});
        gelu_backward(tile.count, inner, in<Real>(before) + tile.begin * inner, dhidden, activated);
        add_rows(tile.count, inner, dhidden, biases);
        add_rows(tile.count, width, dy, biases + inner);
        add_weight_gradient(tile.count, width, inner, in<Real>(x) + tile.begin * width, dhidden,
                            turned, sum_1);
        add_weight_gradient(tile.count, inner, width, activated, dy, turned, sum_2);
        multiply_tile(TileProduct<Real>{tile.count, width, inner, dhidden, inner,
                                        in<Real>(weight_1), width, dtokens, width, true});
      });
  const std::vector<at::Tensor> parts =
      sums.sum(0).split_with_sizes({product, product, inner, width, width, width});
  return {dx,       weight_sum(parts[0], width, inner),
          parts[2], weight_sum(parts[1], inner, width),
          parts[3], parts[4],
          parts[5]};
}

struct FeedForwardBlock : torch::autograd::Function<FeedForwardBlock> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight_1, const at::Tensor& bias_1,
                            const at::Tensor& weight_2, const at::Tensor& bias_2,
                            const at::Tensor& norm_weight, const at::Tensor& norm_bias,
                            const BlockPlan* plan) {
    const NormRecord record = record_of(x, *plan);
    const at::Tensor before =
        plan->keeps ? at::empty({x.size(0), weight_1.size(0)}, x.options()) : at::Tensor();
    at::Tensor out = at::empty_like(x);
    (x.scalar_type() == at::kFloat ? feed_forward<float>
                                   : feed_forward<double>)(x, {weight_1, bias_1},
                                                           {weight_2, bias_2}, norm_weight,
                                                           norm_bias, *plan, record, before, out);
    if (plan->keeps)
      context->save_for_backward({x, weight_1, weight_2, norm_weight, record.normalised,
                                  record.inverse, record.keep, before});
    context->saved_data["scale"] = plan->dropout.scale();
    return out;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const NormRecord record{saved[4], saved[5], saved[6]};
    variable_list found =
        (saved[0].scalar_type() == at::kFloat
             ? feed_forward_backward<float>
             : feed_forward_backward<double>)(gradients[0].contiguous(), saved[0], saved[1],
                                              saved[2], saved[3], record, saved[7],
                                              context->saved_data["scale"].toDouble());
    found.emplace_back();
    return found;
  }
};

}  // namespace

at::Tensor dense_block(const at::Tensor& x, const at::Tensor& residual, const DenseWeights& dense,
                       Activation activation, const NormWeights& norm, const TokenRows& rows,
                       const TokenDropout& dropout) {
  const BlockPlan plan{rows, dropout, norm.epsilon, activation == Activation::kGelu,
                       at::GradMode::is_enabled()};
  return DenseBlock::apply(x, residual, dense.weight, dense.bias, norm.weight, norm.bias, &plan);
}

at::Tensor feed_forward_block(const at::Tensor& x, const DenseWeights& first,
                              const DenseWeights& second, const NormWeights& norm,
                              const TokenRows& rows, const TokenDropout& dropout) {
  const BlockPlan plan{rows, dropout, norm.epsilon, true, at::GradMode::is_enabled()};
  return FeedForwardBlock::apply(x, first.weight, first.bias, second.weight, second.bias,
                                 norm.weight, norm.bias, &plan);
}

}  // namespace cltrain::fused
