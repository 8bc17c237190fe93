#include "dist/global_lse.h"
#include "dist/remembered_rows.h"
#include "ops/row_dots.h"

#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

namespace cltrain {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

struct TwoWay : Function<TwoWay> {
  static variable_list forward(AutogradContext* context, const at::Tensor& x_embeddings,
                               const at::Tensor& y_embeddings, const at::Tensor& scale,
                               const GlobalRows* where, const Enter* enter, bool minus_positives) {
    const at::Tensor x = compute_type(x_embeddings, *where);
    const at::Tensor y = compute_type(y_embeddings, *where);
    const double factor = scale.item<double>();
    const at::Tensor all_y = gathered(y, *where), all_x = gathered(x, *where);
    (*enter)("loss");
    // Of this rank's x over every y; and, by y of the whole, over this rank's x only.
    std::vector<std::pair<int64_t, TwoWayLse>> parts;
    visit_rows(y, all_y, *where, [&](const at::Tensor& block, int64_t first) {
      parts.emplace_back(
          first, lse_forward({x, block, factor, {}, where->cuda_kernels}, LseDirections::kBoth));
    });
    std::vector<at::Tensor> rows, columns;
    for (const TwoWayLse& part : in_row_order(std::move(parts))) {
      rows.push_back(part.rows);
      columns.push_back(part.columns);
    }
    const at::Tensor by_rank = where->communicator.all_gather_each(at::cat(columns));  // [R, n]
    const at::Tensor row_lse = rows.size() == 1 ? rows[0] : combine_lse(at::stack(rows));
    const at::Tensor column_lse =
        combine_lse(by_rank).narrow(0, where->first(), y.size(0)).contiguous();
    const at::Tensor dots = minus_positives ? row_dots(x, y) : at::Tensor();
    context->save_for_backward({x, y, scale, row_lse, column_lse, all_y, all_x, dots});
    remember(context, *where, x_embeddings.scalar_type());
    if (!minus_positives) return {row_lse, column_lse};
    return {row_lse - dots * factor, column_lse - dots * factor};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &y = saved[1], &scale = saved[2];
    const GlobalRows where = remembered_rows(context);
    const double factor = scale.item<double>();
    // Columns: LSE and gradient by x, then by y.
    const at::Tensor table =
        gather_columns({saved[3], gradients[0], saved[4], gradients[1]}, where);
    const LseAdjoint own_x = adjoint_of(table, 0, where.first(), x.size(0));
    const LseAdjoint own_y = adjoint_of(table, 2, where.first(), y.size(0));
    LseGradients found;
    if (where.communicator.size() == 1) {
      found = lse_backward({x, y, factor, {}, where.cuda_kernels}, own_x, own_y, true, true);
    } else {
      // One product more than with a reduce-scatter of gradients, and none of its traffic.
      found = {zero_gradient(x), zero_gradient(y)};
      visit_rows(y, saved[5], where, [&](const at::Tensor& block, int64_t first) {
        lse_backward({x, block, factor, {}, where.cuda_kernels}, own_x,
                     adjoint_of(table, 2, first, block.size(0)), true, false, {found.anchors, {}});
      });
      visit_rows(x, saved[6], where, [&](const at::Tensor& block, int64_t first) {
        lse_backward({y, block, factor, {}, where.cuda_kernels}, own_y,
                     adjoint_of(table, 0, first, block.size(0)), true, false,
                     {found.candidates, {}});
      });
    }
    variable_list result(6);
    // Over all ranks, the rows of x alone meet every pair once.
    double by_scale = scale_gradient(x, found.anchors, factor);
    if (const at::Tensor& dots = saved[7]; dots.defined()) {
      const at::Tensor up = gradients[0] + gradients[1];
      by_scale -= (up * dots).sum().item<double>();
      subtract_positives(found.anchors, y, up, factor);
      subtract_positives(found.candidates, x, up, factor);
    }
    if (context->needs_input_grad(0)) result[0] = found.anchors.to(remembered_type(context));
    if (context->needs_input_grad(1)) result[1] = found.candidates.to(remembered_type(context));
    if (context->needs_input_grad(2)) result[2] = scalar_like(by_scale, scale);
    return result;
  }
};

}  // namespace

TwoWayLse global_two_way_lse(const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale,
                             const GlobalRows& where, const Enter& enter, bool minus_positives) {
  refuse_balanced(where.exchange);
  TORCH_CHECK(x.sizes() == y.sizes(), "the two sides of a contrast have shapes ", x.sizes(),
              " and ", y.sizes(), "; allowed: the same [rows, width]");
  enter("gather");
  check_exchange(x, scale, where);
  check_exchange(y, scale, where);
  const variable_list found =
      TwoWay::apply(x.contiguous(), y.contiguous(), scale, &where, &enter, minus_positives);
  return {found[0], found[1]};
}

}  // namespace cltrain
