#include "ops/lse.h"

#include "ops/lse_chunked.h"
#include "ops/lse_cpu.h"
#include "ops/lse_cuda.h"
#include "ops/row_dots.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

void check_rows(const char* name, const at::Tensor& rows) {
  TORCH_CHECK(rows.dim() == 2 && rows.size(1) >= 1, name, ": received shape ", rows.sizes(),
              "; allowed is [rows, width >= 1]");
}

void check_length(const char* name, const at::Tensor& tensor, int64_t length) {
  TORCH_CHECK(tensor.defined() && tensor.dim() == 1 && tensor.size(0) == length, name,
              ": received ", tensor.defined() ? tensor.numel() : 0, " values for ", length,
              " rows");
}

LseProblem checked(LseProblem problem) {
  check_rows("anchors", problem.anchors);
  check_rows("candidates", problem.candidates);
  TORCH_CHECK(problem.anchors.size(1) == problem.candidates.size(1), "anchors have width ",
              problem.anchors.size(1), ", candidates ", problem.candidates.size(1),
              ": both must be embeddings of one network");
  TORCH_CHECK(problem.anchors.scalar_type() == problem.candidates.scalar_type() &&
                  problem.anchors.device() == problem.candidates.device(),
              "anchors are ", problem.anchors.scalar_type(), " on ", problem.anchors.device(),
              ", candidates ", problem.candidates.scalar_type(), " on ",
              problem.candidates.device(), ": type and device must be the same");
  TORCH_CHECK(!(problem.scale <= 0), "scale = 1 / temperature is ", problem.scale,
              "; allowed: above 0");
  const LseMask& mask = problem.mask;
  if (mask.excluded_columns.defined())
    TORCH_CHECK(mask.excluded_columns.dim() == 2 &&
                    mask.excluded_columns.size(0) == problem.anchors.size(0) &&
                    mask.excluded_columns.size(1) <= 2,
                "excluded_columns: received shape ", mask.excluded_columns.sizes(),
                "; allowed is [", problem.anchors.size(0), ", 1 or 2]");
  if (mask.labels != LseMask::Labels::kIgnored) {
    check_length("row_labels", mask.row_labels, problem.anchors.size(0));
    check_length("column_labels", mask.column_labels, problem.candidates.size(0));
  }
  problem.anchors = problem.anchors.detach().contiguous();
  problem.candidates = problem.candidates.detach().contiguous();
  return problem;
}

void check_adjoint(const LseAdjoint& adjoint, int64_t length) {
  if (!adjoint.lse.defined()) return;
  check_length("lse", adjoint.lse, length);
  check_length("gradient of lse", adjoint.gradient, length);
}

// Candidates without rows leave -inf everywhere and no gradient; so do no anchors.
bool is_empty(const LseProblem& problem) {
  return problem.anchors.size(0) == 0 || problem.candidates.size(0) == 0;
}

at::Tensor nothing_allowed(const at::Tensor& rows) {
  return at::full({rows.size(0)}, -std::numeric_limits<double>::infinity(),
                  rows.options().dtype(at::kDouble));
}

void check_output(const at::Tensor& into, const at::Tensor& rows) {
  if (!into.defined()) return;
  TORCH_CHECK(
      into.sizes() == rows.sizes() && into.is_contiguous() && into.scalar_type() == sum_type(rows),
      "a gradient to add to: received ", into.scalar_type(), " ", into.sizes(),
      "; allowed is a contiguous float32 (of float64: float64) ", rows.sizes());
}

at::Tensor added(const at::Tensor& found, at::Tensor into) {
  return into.defined() ? into.add_(found) : found;
}

}  // namespace

TwoWayLse lse_forward(const LseProblem& unchecked, LseDirections directions) {
  const c10::NoGradGuard no_grad;
  const LseProblem problem = checked(unchecked);
  if (is_empty(problem))
    return {nothing_allowed(problem.anchors), directions == LseDirections::kBoth
                                                  ? nothing_allowed(problem.candidates)
                                                  : at::Tensor()};
  if (problem.anchors.is_cpu()) return lse_forward_cpu(problem, directions, /*self=*/false, {});
  if (problem.cuda_kernels)
    return lse_forward_by(*lse_kernels_here(), problem, directions, /*self=*/false, {});
  return lse_forward_chunked(problem, directions);
}

LseGradients lse_backward(const LseProblem& unchecked, const LseAdjoint& rows,
                          const LseAdjoint& columns, bool want_anchors, bool want_candidates,
                          const LseGradients& into) {
  const c10::NoGradGuard no_grad;
  const LseProblem problem = checked(unchecked);
  check_adjoint(rows, problem.anchors.size(0));
  check_adjoint(columns, problem.candidates.size(0));
  check_output(into.anchors, problem.anchors);
  check_output(into.candidates, problem.candidates);
  if (is_empty(problem))
    return {
        want_anchors ? added(zero_gradient(problem.anchors), into.anchors) : at::Tensor(),
        want_candidates ? added(zero_gradient(problem.candidates), into.candidates) : at::Tensor()};
  if (problem.anchors.is_cpu())
    return lse_backward_cpu(problem, rows, columns, want_anchors, want_candidates,
                            /*self=*/false, {}, into);
  if (problem.cuda_kernels)
    return lse_backward_by(*lse_kernels_here(), problem, rows, columns, want_anchors,
                           want_candidates, /*self=*/false, {}, into);
  const LseGradients found =
      lse_backward_chunked(problem, rows, columns, want_anchors, want_candidates);
  return {added(found.anchors, into.anchors), added(found.candidates, into.candidates)};
}

double scale_gradient(const at::Tensor& anchors, const at::Tensor& anchor_gradient, double scale) {
  if (anchors.numel() == 0) return 0;
  const c10::NoGradGuard no_grad;
  return row_dots(anchors, anchor_gradient).sum().item<double>() / scale;
}

at::Tensor scalar_like(double value, const at::Tensor& scalar) {
  return at::full(scalar.sizes(), value, scalar.options());
}

at::ScalarType sum_type(const at::Tensor& rows) {
  return rows.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

at::Tensor zero_gradient(const at::Tensor& rows) {
  return at::zeros(rows.sizes(), rows.options().dtype(sum_type(rows)));
}

at::Tensor self_lse_forward(const at::Tensor& z, double scale, const LseMask& mask, TileShare share,
                            bool cuda_kernels) {
  const c10::NoGradGuard no_grad;
  const LseProblem problem = checked({z, z, scale, mask});
  if (is_empty(problem)) return nothing_allowed(problem.anchors);
  if (z.is_cpu()) return lse_forward_cpu(problem, LseDirections::kRows, /*self=*/true, share).rows;
  if (cuda_kernels)
    return lse_forward_by(*lse_kernels_here(), problem, LseDirections::kRows, /*self=*/true, share)
        .rows;
  return self_lse_forward_chunked(problem, share);
}

at::Tensor self_lse_backward(const at::Tensor& z, double scale, const LseMask& mask,
                             const LseAdjoint& rows, TileShare share, const at::Tensor& into,
                             bool cuda_kernels) {
  const c10::NoGradGuard no_grad;
  const LseProblem problem = checked({z, z, scale, mask});
  check_adjoint(rows, problem.anchors.size(0));
  check_output(into, problem.anchors);
  if (is_empty(problem)) return added(zero_gradient(problem.anchors), into);
  if (z.is_cpu())
    return lse_backward_cpu(problem, rows, {}, /*want_anchors=*/true, /*want_candidates=*/true,
                            /*self=*/true, share, {into, {}})
        .anchors;
  if (cuda_kernels)
    return lse_backward_by(*lse_kernels_here(), problem, rows, {}, /*want_anchors=*/true,
                           /*want_candidates=*/false, /*self=*/true, share, {into, {}})
        .anchors;
  return added(self_lse_backward_chunked(problem, rows, share), into);
}

at::Tensor combine_lse(const at::Tensor& partial) {
  const c10::NoGradGuard no_grad;
  TORCH_CHECK(partial.dim() == 2, "partial LSEs: received shape ", partial.sizes(),
              "; allowed is [parts, rows]");
  return at::logsumexp(partial, {0});
}

}  // namespace cltrain
