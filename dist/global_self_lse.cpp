#include "dist/global_lse.h"
#include "dist/remembered_rows.h"
#include "ops/row_dots.h"

#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

namespace cltrain {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

/// Own row and partner of rows first_row .. of the whole, as columns of a block that begins at
/// `first`; -1 outside of it.
LseMask block_mask(const at::Tensor& z, const at::Tensor& excluded, const at::Tensor& block,
                   int64_t first_row, int64_t first) {
  const at::Tensor own = at::arange(first_row, first_row + z.size(0), z.options().dtype(at::kLong));
  at::Tensor columns = own.unsqueeze(1);
  if (excluded.defined()) columns = at::cat({columns, excluded}, 1);
  const at::Tensor inside = (columns >= first).logical_and(columns < first + block.size(0));
  return {.excluded_columns = at::where(inside, columns - first, -1)};
}

/// Excluded columns of a problem that holds just the rows from `first` on.
LseMask self_mask(const at::Tensor& excluded, int64_t first) {
  if (!excluded.defined()) return {};
  return {.excluded_columns = excluded - first};
}

bool is_own(const GlobalRows& where, const at::Tensor& block, int64_t first) {
  return first == where.first() && block.size(0) == where.rows[where.communicator.rank()];
}

bool balanced(const GlobalRows& where) {
  return where.exchange == Exchange::kBalanced && where.communicator.size() > 1;
}

TileShare share_of(const GlobalRows& where) {
  return {where.communicator.rank(), where.communicator.size()};
}

/// What the forward pass leaves for the backward one.
struct SelfLse {
  at::Tensor z, lse, excluded, all, excluded_all;

  variable_list tensors() const { return {z, lse, excluded, all, excluded_all}; }
  static SelfLse of(const variable_list& saved) {
    return {saved[0], saved[1], saved[2], saved[3], saved[4]};
  }
};

SelfLse forward_pass(const at::Tensor& z, double factor, const at::Tensor& excluded,
                     const GlobalRows& where, const Enter& enter) {
  SelfLse found{.z = z, .excluded = excluded, .all = gathered(z, where)};
  enter("loss");
  if (balanced(where)) {
    if (excluded.defined())
      found.excluded_all = where.communicator.all_gather(excluded, where.rows);
    const at::Tensor partial = self_lse_forward(found.all, factor, self_mask(found.excluded_all, 0),
                                                share_of(where), where.cuda_kernels);
    const at::Tensor parts = where.communicator.all_gather_each(partial);
    found.lse = combine_lse(parts).narrow(0, where.first(), z.size(0)).contiguous();
  } else {
    // Parts in the order of the ranks, whatever order they came in.
    std::vector<std::pair<int64_t, at::Tensor>> parts;
    visit_rows(z, found.all, where, [&](const at::Tensor& block, int64_t first) {
      parts.emplace_back(
          first,
          is_own(where, block, first)
              ? self_lse_forward(z, factor, self_mask(excluded, first), {}, where.cuda_kernels)
              : lse_forward({z, block, factor, block_mask(z, excluded, block, where.first(), first),
                             where.cuda_kernels},
                            LseDirections::kRows)
                    .rows);
    });
    const std::vector<at::Tensor> ordered = in_row_order(std::move(parts));
    found.lse = ordered.size() == 1 ? ordered[0] : combine_lse(at::stack(ordered));
  }
  return found;
}

/// dL/dz of the total loss; `up` is the gradient of this rank's LSEs.
at::Tensor backward_pass(const SelfLse& of, const at::Tensor& up, double factor,
                         const GlobalRows& where) {
  const at::Tensor& z = of.z;
  const at::Tensor table = gather_columns({of.lse, up}, where);  // [n, 2]
  at::Tensor gradient;
  if (balanced(where)) {
    const at::Tensor whole = self_lse_backward(of.all, factor, self_mask(of.excluded_all, 0),
                                               adjoint_of(table, 0, 0, where.total()),
                                               share_of(where), {}, where.cuda_kernels);
    gradient = where.communicator.reduce_scatter_sum(whole, where.rows);
  } else {
    const LseAdjoint own = adjoint_of(table, 0, where.first(), z.size(0));
    gradient = zero_gradient(z);
    visit_rows(z, of.all, where, [&](const at::Tensor& block, int64_t first) {
      if (is_own(where, block, first))
        self_lse_backward(z, factor, self_mask(of.excluded, first), own, {}, gradient,
                          where.cuda_kernels);
      else
        lse_backward({z, block, factor, block_mask(z, of.excluded, block, where.first(), first),
                      where.cuda_kernels},
                     own, adjoint_of(table, 0, first, block.size(0)), /*want_anchors=*/true,
                     /*want_candidates=*/false, {gradient, {}});
    });
  }
  return gradient;
}

struct SelfLseFunction : Function<SelfLseFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& embeddings,
                            const at::Tensor& scale, const LseMask& mask, const GlobalRows* where,
                            const Enter* enter) {
    const SelfLse found = forward_pass(compute_type(embeddings, *where), scale.item<double>(),
                                       mask.excluded_columns, *where, *enter);
    variable_list saved = found.tensors();
    saved.push_back(scale);
    context->save_for_backward(saved);
    remember(context, *where, embeddings.scalar_type());
    return found.lse;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &z = saved[0], &scale = saved[5];
    const double factor = scale.item<double>();
    const at::Tensor gradient =
        backward_pass(SelfLse::of(saved), gradients[0], factor, remembered_rows(context));
    variable_list result(5);
    if (context->needs_input_grad(0)) result[0] = gradient.to(remembered_type(context));
    // Each pair of rows is in the gradient of both: half, on the rank of each.
    if (context->needs_input_grad(1))
      result[1] = scalar_like(scale_gradient(z, gradient, factor) / 2, scale);
    return result;
  }
};

struct SelfContrast : Function<SelfContrast> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& view0,
                            const at::Tensor& view1, const at::Tensor& scale,
                            const GlobalRows* where, const Enter* enter) {
    const at::Tensor z = at::cat({compute_type(view0, *where), compute_type(view1, *where)});
    const int64_t images = view0.size(0);
    const double factor = scale.item<double>();
    const SelfLse found = forward_pass(z, factor, {}, *where, *enter);
    const at::Tensor dots = row_dots(z.narrow(0, 0, images), z.narrow(0, images, images));
    variable_list saved = found.tensors();
    saved.push_back(scale);
    saved.push_back(dots);
    context->save_for_backward(saved);
    remember(context, *where, view0.scalar_type());
    return found.lse - at::cat({dots, dots}) * factor;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &z = saved[0], &scale = saved[5], &dots = saved[6];
    const int64_t images = dots.size(0);
    const double factor = scale.item<double>();
    at::Tensor gradient =
        backward_pass(SelfLse::of(saved), gradients[0], factor, remembered_rows(context));
    // Both anchors of an image have the same positive logit.
    const at::Tensor up =
        gradients[0].narrow(0, 0, images) + gradients[0].narrow(0, images, images);
    variable_list result(5);
    if (context->needs_input_grad(2))
      result[2] = scalar_like(
          scale_gradient(z, gradient, factor) / 2 - (up * dots).sum().item<double>(), scale);
    const at::Tensor weight = up.to(gradient.scalar_type()).unsqueeze(1);
    for (const int64_t view : {0, 1})
      gradient.narrow(0, view * images, images)
          .addcmul_(z.narrow(0, (1 - view) * images, images).to(gradient.scalar_type()), weight,
                    -factor);
    gradient = gradient.to(remembered_type(context));
    result[0] = gradient.narrow(0, 0, images);
    result[1] = gradient.narrow(0, images, images);
    return result;
  }
};

}  // namespace

at::Tensor global_self_lse(const at::Tensor& z, const at::Tensor& scale,
                           const at::Tensor& excluded_columns, const GlobalRows& where,
                           const Enter& enter) {
  enter("gather");
  check_exchange(z, scale, where);
  return SelfLseFunction::apply(z.contiguous(), scale,
                                LseMask{.excluded_columns = excluded_columns}, &where, &enter);
}

at::Tensor global_self_contrast(const at::Tensor& view0, const at::Tensor& view1,
                                const at::Tensor& scale, const GlobalRows& where,
                                const Enter& enter) {
  TORCH_CHECK(view0.sizes() == view1.sizes() && view0.dim() == 2, "two views have shapes ",
              view0.sizes(), " and ", view1.sizes(), "; allowed: the same [rows, width]");
  enter("gather");
  GlobalRows images = where;
  for (int64_t& rows : images.rows) rows /= 2;
  check_exchange(view0, scale, images);
  return SelfContrast::apply(view0, view1, scale, &where, &enter);
}

}  // namespace cltrain
