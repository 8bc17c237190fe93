// What the portable and the fused driver share: one call as pointers and numbers. For
// ops/lse_cuda*.cpp.
#pragma once

#include "ops/lse_cuda.h"

#include <ATen/ops/empty.h>

namespace cltrain {

/// One call of ops/lse_cuda.h; tensors are contiguous and live as long as it.
struct LsePass {
  LseKernels& kernels;
  LseProblem problem;
  bool self;
  int64_t begin, end;  ///< rows of this share
  int64_t workspace;

  int64_t rows() const { return problem.anchors.size(0); }
  int64_t columns() const { return problem.candidates.size(0); }
  int64_t width() const { return problem.anchors.size(1); }
  LseElement element() const;
  LseMaskView mask() const;
  at::Tensor room(at::IntArrayRef sizes, at::ScalarType type) const {
    return at::empty(sizes, problem.anchors.options().dtype(type));
  }
  /// [count] sums of nothing.
  at::Tensor no_sums(int64_t count) const;
  at::Tensor logs(const at::Tensor& sums) const;
};

// [n, 2] float64 and float32 tensors hold sums, and factors.
static_assert(sizeof(LseSum<double>) == 16 && sizeof(LseSum<float>) == 8);
static_assert(sizeof(LseFactor<double>) == 16 && sizeof(LseFactor<float>) == 8);
template <class Struct>
Struct* as(const at::Tensor& tensor) {
  return static_cast<Struct*>(tensor.data_ptr());
}

/// LSEs and gradients as the kernels want them, padded with zeros; undefined if the direction is
/// not used and `needed` is false.
template <class Real>
at::Tensor factors_of(const LsePass& pass, const LseAdjoint& adjoint, int64_t count, bool needed,
                      bool shared, double bound) {
  if (!adjoint.lse.defined() && !needed) return {};
  const int64_t padded = parts_of(count, kFusedPadding) * kFusedPadding;
  const at::Tensor factors = pass.room({padded, 2}, c10::CppTypeToScalarType<Real>::value);
  const at::Tensor lse = adjoint.lse.defined() ? adjoint.lse.contiguous() : at::Tensor();
  const at::Tensor gradient = adjoint.lse.defined() ? adjoint.gradient.contiguous() : at::Tensor();
  pass.kernels.make_factors({lse.defined() ? lse.const_data_ptr<double>() : nullptr,
                             lse.defined() ? gradient.const_data_ptr<double>() : nullptr,
                             lse.defined() ? count : 0, pass.problem.scale, shared, bound},
                            padded, as<LseFactor<Real>>(factors));
  return factors;
}

/// gradient [rows, D] += weights [rows, columns] candidates, or with `transposed` gradient
/// [columns, D] += weights^T anchors; `operand` is the other factor.
void add_product(const LsePass& pass, const void* weights, int64_t stride, int64_t rows,
                 int64_t columns, bool transposed, const void* operand, void* gradient);

TwoWayLse portable_forward(const LsePass& pass, LseDirections directions);
/// Adds to the tensors of `into`; undefined ones are not wanted.
void portable_backward(const LsePass& pass, const LseAdjoint& rows, const LseAdjoint& columns,
                       const LseGradients& into);

bool can_fuse(const LsePass& pass);
TwoWayLse fused_forward(const LsePass& pass, LseDirections directions);
void fused_backward(const LsePass& pass, const LseAdjoint& rows, const LseAdjoint& columns,
                    const LseGradients& into);

}  // namespace cltrain
