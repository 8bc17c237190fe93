#include "dist/global_lse.h"
#include "dist/remembered_rows.h"

#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/stack.h>

namespace cltrain {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

struct RowsOverAll : Function<RowsOverAll> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given_queries,
                            const at::Tensor& given_candidates, const at::Tensor& scale,
                            const GlobalRows* where, const Enter* enter) {
    const at::Tensor queries = compute_type(given_queries, *where);
    const at::Tensor candidates = compute_type(given_candidates, *where);
    const double factor = scale.item<double>();
    const at::Tensor all = gathered(candidates, *where);
    (*enter)("loss");
    std::vector<std::pair<int64_t, at::Tensor>> parts;
    visit_rows(candidates, all, *where, [&](const at::Tensor& block, int64_t first) {
      parts.emplace_back(first, lse_forward({queries, block, factor, {}, where->cuda_kernels},
                                            LseDirections::kRows)
                                    .rows);
    });
    const std::vector<at::Tensor> ordered = in_row_order(std::move(parts));
    const at::Tensor lse = ordered.size() == 1 ? ordered[0] : combine_lse(at::stack(ordered));
    context->save_for_backward({queries, candidates, scale, lse, all});
    remember(context, *where, given_queries.scalar_type());
    return lse;
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
    variable_list result(5);
    if (context->needs_input_grad(0)) result[0] = found.to(remembered_type(context));
    if (context->needs_input_grad(2))
      result[2] = scalar_like(scale_gradient(queries, found, factor), scale);
    return result;
  }
};

}  // namespace

at::Tensor global_row_lse(const at::Tensor& queries, const at::Tensor& candidates,
                          const at::Tensor& scale, const GlobalRows& where, const Enter& enter) {
  TORCH_CHECK(where.exchange != Exchange::kBalanced,
              "loss.exchange=balanced shares out a triangle, which queries and keys do not have; "
              "allowed: gather, ring");
  TORCH_CHECK(queries.sizes() == candidates.sizes(), "queries have shape ", queries.sizes(),
              " and keys ", candidates.sizes(), "; allowed: the same [rows, width]");
  enter("gather");
  check_exchange(queries, scale, where);
  return RowsOverAll::apply(queries.contiguous(), candidates.detach().contiguous(), scale, &where,
                            &enter);
}

}  // namespace cltrain
