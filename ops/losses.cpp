#include "ops/losses.h"

#include "ops/row_lse.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_unique2.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

void check_pairs(const at::Tensor& x, const at::Tensor& y) {
  TORCH_CHECK(x.sizes() == y.sizes() && x.dim() == 2, "a contrast of pairs received shapes ",
              x.sizes(), " and ", y.sizes(), "; allowed: twice the same [rows, width]");
}

/// scale <x_i, y_i>, [B] float64.
at::Tensor positives(const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale) {
  const at::ScalarType type = sum_type(x);
  return scale.to(at::kDouble) * (x.to(type) * y.to(type)).sum({1}, /*keepdim=*/false, at::kDouble);
}

/// Row i's other view among 2B rows, [2B, 1].
at::Tensor other_view(const at::Tensor& view) {
  const int64_t batch = view.size(0);
  const at::Tensor ids = at::arange(batch, view.options().dtype(at::kLong));
  return at::cat({ids + batch, ids}).unsqueeze(1);
}

}  // namespace

at::Tensor nt_xent_rows(const at::Tensor& view0, const at::Tensor& view1, const at::Tensor& scale) {
  check_pairs(view0, view1);
  const at::Tensor positive = positives(view0, view1, scale);
  return self_lse(at::cat({view0, view1}), scale) - at::cat({positive, positive});
}

at::Tensor dcl_rows(const at::Tensor& view0, const at::Tensor& view1, const at::Tensor& scale) {
  check_pairs(view0, view1);
  const at::Tensor positive = positives(view0, view1, scale);
  return self_lse(at::cat({view0, view1}), scale, {.excluded_columns = other_view(view0)}) -
         at::cat({positive, positive});
}

at::Tensor graphcl_rows(const at::Tensor& view0, const at::Tensor& view1, const at::Tensor& scale) {
  check_pairs(view0, view1);
  const at::Tensor own = at::arange(view0.size(0), view0.options().dtype(at::kLong)).unsqueeze(1);
  return row_lse(view0, view1, scale, {.excluded_columns = own}) - positives(view0, view1, scale);
}

at::Tensor info_nce_rows(const at::Tensor& queries, const at::Tensor& keys,
                         const at::Tensor& negatives, const at::Tensor& scale,
                         const at::Tensor& weight) {
  check_pairs(queries, keys);
  const at::Tensor positive = positives(queries, keys, scale);
  return positive.logaddexp(row_lse(queries, negatives, scale, {}, weight)) - positive;
}

TwoWayRows clip_rows(const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale) {
  check_pairs(x, y);
  const at::Tensor positive = positives(x, y, scale);
  const TwoWayLse lse = two_way_lse(x, y, scale);
  return {lse.rows - positive, lse.columns - positive};
}

SupConRows supcon_rows(const at::Tensor& z, const at::Tensor& labels, const at::Tensor& scale,
                       SupConForm form) {
  TORCH_CHECK(labels.dim() == 1 && labels.size(0) == z.size(0), "supcon: received ", labels.numel(),
              " labels for ", z.size(0), " rows");
  // Class numbers 0 .. C - 1 and how many rows each has.
  const auto [classes, of_row, sizes] =
      at::_unique2(labels, /*sorted=*/true, /*return_inverse=*/true, /*return_counts=*/true);
  const at::Tensor count = sizes.index_select(0, of_row) - 1;  // positives of each row
  const at::Tensor has_positive = count > 0;
  const at::Tensor divisor = count.clamp_min(1).to(at::kDouble);
  const at::Tensor all = self_lse(z, scale);
  at::Tensor loss;
  if (form == SupConForm::kMeanOfLogs) {
    // The sum of a row's positive logits is one dot product with the sum of its class.
    const at::Tensor wide = z.to(at::kDouble);
    const at::Tensor sums = at::zeros({classes.size(0), z.size(1)}, wide.options())
                                .index_add(0, of_row, wide)
                                .index_select(0, of_row);
    const at::Tensor dots = (wide * (sums - wide)).sum({1});
    loss = all - scale.to(at::kDouble) * dots / divisor;
  } else {
    const LseMask mask{
        .labels = LseMask::Labels::kOnlyEqual, .row_labels = labels, .column_labels = labels};
    const at::Tensor positive = self_lse(z, scale, mask);
    // -inf of a row without positives must not reach the gradient of the others.
    loss = all + divisor.log() - at::where(has_positive, positive, all.detach());
  }
  return {at::where(has_positive, loss, at::zeros({}, loss.options())), has_positive};
}

}  // namespace cltrain
