#include "ops/row_lse.h"

#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/custom_function.h>

namespace cltrain {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// A mask travels to the backward pass as three tensors and a number.
variable_list tensors_of(const LseMask& mask) {
  return {mask.excluded_columns, mask.row_labels, mask.column_labels};
}

LseMask mask_of(const variable_list& saved, size_t first, int64_t labels) {
  return {saved[first], static_cast<LseMask::Labels>(labels), saved[first + 1], saved[first + 2]};
}

// A direction that the loss did not use has no gradient.
LseAdjoint adjoint(const at::Tensor& lse, const at::Tensor& gradient) {
  return gradient.defined() ? LseAdjoint{lse, gradient} : LseAdjoint{};
}

struct TwoWay : Function<TwoWay> {
  static variable_list forward(AutogradContext* context, const at::Tensor& anchors,
                               const at::Tensor& candidates, const at::Tensor& scale,
                               const LseMask& mask, bool columns) {
    const TwoWayLse found = lse_forward({anchors, candidates, scale.item<double>(), mask},
                                        columns ? LseDirections::kBoth : LseDirections::kRows);
    variable_list saved{anchors, candidates, scale, found.rows, found.columns};
    for (const at::Tensor& tensor : tensors_of(mask)) saved.push_back(tensor);
    context->save_for_backward(saved);
    context->saved_data["labels"] = static_cast<int64_t>(mask.labels);
    context->set_materialize_grads(false);
    if (!columns) return {found.rows};
    return {found.rows, found.columns};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const double scale = saved[2].item<double>();
    const LseProblem problem{saved[0], saved[1], scale,
                             mask_of(saved, 5, context->saved_data["labels"].toInt())};
    const bool wants_scale = context->needs_input_grad(2);
    const LseGradients found =
        lse_backward(problem, adjoint(saved[3], gradients[0]),
                     gradients.size() > 1 ? adjoint(saved[4], gradients[1]) : LseAdjoint{},
                     context->needs_input_grad(0) || wants_scale, context->needs_input_grad(1));
    variable_list result(5);
    if (context->needs_input_grad(0)) result[0] = found.anchors.to(saved[0].scalar_type());
    if (context->needs_input_grad(1)) result[1] = found.candidates.to(saved[1].scalar_type());
    if (wants_scale)
      result[2] = scalar_like(scale_gradient(saved[0], found.anchors, scale), saved[2]);
    return result;
  }
};

struct Self : Function<Self> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& z, const at::Tensor& scale,
                            const LseMask& mask) {
    const at::Tensor lse = self_lse_forward(z, scale.item<double>(), mask);
    variable_list saved{z, scale, lse};
    for (const at::Tensor& tensor : tensors_of(mask)) saved.push_back(tensor);
    context->save_for_backward(saved);
    context->saved_data["labels"] = static_cast<int64_t>(mask.labels);
    return lse;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const double scale = saved[1].item<double>();
    const at::Tensor gradient =
        self_lse_backward(saved[0], scale, mask_of(saved, 3, context->saved_data["labels"].toInt()),
                          {saved[2], gradients[0]});
    variable_list result(3);
    result[0] = gradient.to(saved[0].scalar_type());
    // Every pair of rows is in the gradient of both.
    if (context->needs_input_grad(1))
      result[1] = scalar_like(scale_gradient(saved[0], gradient, scale) / 2, saved[1]);
    return result;
  }
};

}  // namespace

at::Tensor row_lse(const at::Tensor& anchors, const at::Tensor& candidates, const at::Tensor& scale,
                   const LseMask& mask, const at::Tensor& candidate_weight) {
  at::Tensor weighted = candidates;
  if (candidate_weight.defined()) {
    TORCH_CHECK(candidate_weight.dim() == 1 && candidate_weight.size(0) == candidates.size(0),
                "candidate_weight: received shape ", candidate_weight.sizes(), "; allowed is [",
                candidates.size(0), "], a weight a candidate");
    weighted = candidates * candidate_weight.detach().to(candidates.scalar_type()).unsqueeze(1);
  }
  return TwoWay::apply(anchors, weighted, scale, mask, false)[0];
}

TwoWayLse two_way_lse(const at::Tensor& anchors, const at::Tensor& candidates,
                      const at::Tensor& scale, const LseMask& mask) {
  const variable_list found = TwoWay::apply(anchors, candidates, scale, mask, true);
  return {found[0], found[1]};
}

at::Tensor self_lse(const at::Tensor& z, const at::Tensor& scale, const LseMask& mask) {
  return Self::apply(z, scale, mask);
}

}  // namespace cltrain
