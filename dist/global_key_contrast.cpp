#include "dist/global_lse.h"
#include "dist/remembered_rows.h"
#include "ops/row_dots.h"

#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/stack.h>

namespace cltrain {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

struct KeyContrast : Function<KeyContrast> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given_queries,
                            const at::Tensor& given_keys, const at::Tensor& scale,
                            const GlobalRows* where, const Enter* enter) {
    const at::Tensor queries = compute_type(given_queries, *where);
    const at::Tensor keys = compute_type(given_keys, *where);
    const double factor = scale.item<double>();
    const at::Tensor all = gathered(keys, *where);
    (*enter)("loss");
    std::vector<std::pair<int64_t, at::Tensor>> parts;
    visit_rows(keys, all, *where, [&](const at::Tensor& block, int64_t first) {
      parts.emplace_back(first, lse_forward({queries, block, factor, {}, where->cuda_kernels},
                                            LseDirections::kRows)
                                    .rows);
    });
    const std::vector<at::Tensor> ordered = in_row_order(std::move(parts));
    const at::Tensor lse = ordered.size() == 1 ? ordered[0] : combine_lse(at::stack(ordered));
    const at::Tensor dots = row_dots(queries, keys);
    context->save_for_backward({queries, keys, scale, lse, all, dots});
    remember(context, *where, given_queries.scalar_type());
    return lse - dots * factor;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &queries = saved[0], &scale = saved[2];
    const double factor = scale.item<double>();
    const LseAdjoint adjoint{saved[3], gradients[0].contiguous()};
    const at::Tensor found = zero_gradient(queries);
    const GlobalRows where = remembered_rows(context);
    visit_rows(saved[1], saved[4], where, [&](const at::Tensor& block, int64_t) {
      lse_backward({queries, block, factor, {}, where.cuda_kernels}, adjoint, {},
                   /*want_anchors=*/true,
                   /*want_candidates=*/false, {found, {}});
    });
    // Before the positives' part: scale times its derivative is a sum over the same products.
    const double by_scale =
        scale_gradient(queries, found, factor) - (gradients[0] * saved[5]).sum().item<double>();
    subtract_positives(found, saved[1], gradients[0], factor);
    variable_list result(5);
    if (context->needs_input_grad(0)) result[0] = found.to(remembered_type(context));
    if (context->needs_input_grad(2)) result[2] = scalar_like(by_scale, scale);
    return result;
  }
};

}  // namespace

at::Tensor global_key_contrast(const at::Tensor& queries, const at::Tensor& keys,
                               const at::Tensor& scale, const GlobalRows& where,
                               const Enter& enter) {
  refuse_balanced(where.exchange);
  TORCH_CHECK(queries.sizes() == keys.sizes(), "queries have shape ", queries.sizes(), " and keys ",
              keys.sizes(), "; allowed: the same [rows, width]");
  enter("gather");
  check_exchange(queries, scale, where);
  return KeyContrast::apply(queries.contiguous(), keys.detach().contiguous(), scale, &where,
                            &enter);
}

}  // namespace cltrain
