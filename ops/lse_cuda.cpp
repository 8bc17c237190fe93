#include "ops/lse_cuda_pass.h"

#include <limits>

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <c10/util/Exception.h>

#ifdef CLTRAIN_CUDA
#include <ATen/cuda/CUDAContextLight.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace cltrain {
namespace {

LsePass pass_of(LseKernels& kernels, const LseProblem& problem, bool self, TileShare share,
                int64_t workspace) {
  const int64_t rows = problem.anchors.size(0);
  constexpr int64_t kMost = std::numeric_limits<int>::max() - 1024;
  TORCH_CHECK(
      rows <= kMost && problem.candidates.size(0) <= kMost && problem.anchors.size(1) <= kMost,
      "loss.cuda_kernels=true: ", rows, " rows against ", problem.candidates.size(0), " of width ",
      problem.anchors.size(1), "; allowed: up to ", kMost,
      " each; loss.cuda_kernels=false has no such limit");
  LsePass pass{kernels,
               problem,
               self,
               rows * share.index / share.count,
               rows * (share.index + 1) / share.count,
               workspace};
  LseMask& mask = pass.problem.mask;
  const auto on_device = [&](at::Tensor& tensor) {
    if (tensor.defined())
      tensor = tensor.to(problem.anchors.options().dtype(at::kLong)).contiguous();
  };
  on_device(mask.excluded_columns);
  on_device(mask.row_labels);
  on_device(mask.column_labels);
  return pass;
}

}  // namespace

LseElement LsePass::element() const {
  switch (problem.anchors.scalar_type()) {
    case at::kDouble:
      return LseElement::kDouble;
    case at::kFloat:
      return LseElement::kFloat;
    case at::kBFloat16:
      return LseElement::kBFloat16;
    default:
      TORCH_CHECK(false, "loss.cuda_kernels=true: embeddings are ", problem.anchors.scalar_type(),
                  "; allowed: float32, float64, bfloat16");
  }
}

LseMaskView LsePass::mask() const {
  LseMaskView view;
  view.self = self;
  if (const at::Tensor& excluded = problem.mask.excluded_columns; excluded.defined()) {
    view.excluded = excluded.const_data_ptr<int64_t>();
    view.excluded_count = static_cast<int>(excluded.size(1));
  }
  view.labels = problem.mask.labels;
  if (view.labels != LseLabels::kIgnored) {
    view.row_labels = problem.mask.row_labels.const_data_ptr<int64_t>();
    view.column_labels = problem.mask.column_labels.const_data_ptr<int64_t>();
  }
  return view;
}

at::Tensor LsePass::no_sums(int64_t count) const {
  const at::Tensor sums = at::full({count, 2}, -std::numeric_limits<double>::infinity(),
                                   problem.anchors.options().dtype(at::kDouble));
  sums.select(1, 1).zero_();
  return sums;
}

at::Tensor LsePass::logs(const at::Tensor& sums) const {
  const at::Tensor lse = room({sums.size(0)}, at::kDouble);
  kernels.logs(as<LseSum<double>>(sums), sums.size(0), lse.mutable_data_ptr<double>());
  return lse;
}

void add_product(const LsePass& pass, const void* weights, int64_t stride, int64_t rows,
                 int64_t columns, bool transposed, const void* operand, void* gradient) {
  // Row-major matrices are the transposed of what BLAS sees: gradient^T = operand^T weights^T.
  const int width = static_cast<int>(pass.width());
  pass.kernels.multiply({.type = pass.element(),
                         .transpose_a = false,
                         .transpose_b = transposed,
                         .m = width,
                         .n = static_cast<int>(transposed ? columns : rows),
                         .k = static_cast<int>(transposed ? rows : columns),
                         .a = operand,
                         .lda = width,
                         .b = weights,
                         .ldb = stride,
                         .c = gradient,
                         .ldc = width,
                         .beta = 1});
}

TwoWayLse lse_forward_by(LseKernels& kernels, const LseProblem& problem, LseDirections directions,
                         bool self, TileShare share, int64_t workspace) {
  const LsePass pass = pass_of(kernels, problem, self, share, workspace);
  return can_fuse(pass) ? fused_forward(pass, directions) : portable_forward(pass, directions);
}

LseGradients lse_backward_by(LseKernels& kernels, const LseProblem& problem, const LseAdjoint& rows,
                             const LseAdjoint& columns, bool want_anchors, bool want_candidates,
                             bool self, TileShare share, const LseGradients& into,
                             int64_t workspace) {
  const LsePass pass = pass_of(kernels, problem, self, share, workspace);
  LseGradients found;
  if (want_anchors)
    found.anchors = into.anchors.defined() ? into.anchors : zero_gradient(problem.anchors);
  if (want_candidates && !self)
    found.candidates =
        into.candidates.defined() ? into.candidates : zero_gradient(problem.candidates);
  // The mask of a self problem is symmetric: what row i gives to j, column i takes from it.
  const LseAdjoint& by_column = self ? rows : columns;
  if (can_fuse(pass))
    fused_backward(pass, rows, by_column, found);
  else
    portable_backward(pass, rows, by_column, found);
  return found;
}

#ifdef CLTRAIN_CUDA
bool has_lse_cuda_kernels() {
  return true;
}
std::unique_ptr<LseKernels> lse_kernels_here(bool fused) {
  return cuda_lse_kernels(c10::cuda::getCurrentCUDAStream().stream(),
                          at::cuda::getCurrentCUDABlasHandle(), fused);
}
#else
bool has_lse_cuda_kernels() {
  return false;
}
std::unique_ptr<LseKernels> lse_kernels_here(bool fused) {
  TORCH_CHECK(false,
              "loss.cuda_kernels=true: this program was built without nvcc and has no CUDA "
              "kernels; set it to false");
}
#endif

bool has_lse_fused_kernels() {
#ifdef CLTRAIN_FUSED
  return true;
#else
  return false;
#endif
}

}  // namespace cltrain
