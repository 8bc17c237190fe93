// Log-sum-exp of scaled dot products, streamed: what all contrast is made of.
//
//   rows_i    = log sum over allowed j of exp(scale <a_i, c_j>)
//   columns_j = log sum over allowed i of exp(scale <a_i, c_j>)
//
// The M x K logits are never held. They are made tile by tile, reduced while they are hot, and made
// again in the backward pass; docs/design.md, section 4, counts products and bytes. These are the
// bare functions, without autograd; ops/row_lse.h is the differentiable form, dist/ builds the loss
// of many ranks on the bare ones.
//
// Types: anchors and candidates in float32, float64 or bfloat16, both the same, on one device.
// Products accumulate in float32 (float64 for float64); sums and results are float64. Logits of 1e5
// neither overflow nor vanish: every sum has a reference near its largest term. A tile computes one
// exponential for both directions where its logits span less than 80, else two.
// A row without an allowed candidate has -inf and passes no gradient; values that are not finite
// make every result NaN. One rank, any thread (they share the pool of at::parallel_for); results
// have the same bits at any number of threads.
#pragma once

#include "ops/lse_basics.h"

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace cltrain {

/// Which candidates an anchor sees: all, but for these rules, which combine.
struct LseMask {
  using Labels = LseLabels;

  /// [M, 1] or [M, 2] int64 or undefined: columns that row i does not see; -1 excludes nothing.
  at::Tensor excluded_columns;
  Labels labels = Labels::kIgnored;
  at::Tensor row_labels, column_labels;  ///< [M], [K] int64; read unless labels are ignored
};

struct LseProblem {
  at::Tensor anchors;     ///< [M, D]
  at::Tensor candidates;  ///< [K, D]
  double scale = 1;
  LseMask mask;
  /// CUDA tensors take the kernels of ops/lse_cuda.h, which no GPU has run yet, in the place of
  /// LibTorch's operators; a program without them says so. CPU tensors do not look at it.
  bool cuda_kernels = false;
};

/// Results of one direction or both; the other is undefined.
struct TwoWayLse {
  at::Tensor rows;     ///< [M] float64
  at::Tensor columns;  ///< [K] float64
};

/// What a direction brings to the backward pass: its LSEs and the loss's gradient with respect to
/// them, [n] float64 each. Undefined tensors: the loss does not use this direction.
struct LseAdjoint {
  at::Tensor lse, gradient;
};

struct LseGradients {
  at::Tensor anchors;     ///< [M, D] float32, or float64 for float64
  at::Tensor candidates;  ///< [K, D]
};

enum class LseDirections { kRows, kBoth };

/// 2 M K D operations.
TwoWayLse lse_forward(const LseProblem& problem, LseDirections directions);

/// The gradient with respect to the anchors, the candidates, or both, of a loss that uses rows,
/// columns, or both: 2 M K D operations, and as many for each gradient wanted. Tensors of `into`
/// that are defined are added to and returned, so that blocks of candidates can follow each other.
LseGradients lse_backward(const LseProblem& problem, const LseAdjoint& rows,
                          const LseAdjoint& columns, bool want_anchors, bool want_candidates,
                          const LseGradients& into = {});

/// d loss / d scale = sum_i <a_i, dL/da_i> / scale: no further pass over the logits.
double scale_gradient(const at::Tensor& anchors, const at::Tensor& anchor_gradient, double scale);
/// A number as the gradient of `scalar`, in its shape and type.
at::Tensor scalar_like(double value, const at::Tensor& scalar);

/// What products of these rows are summed in, and gradients with respect to them come in: float64
/// for float64, else float32.
at::ScalarType sum_type(const at::Tensor& rows);
/// Zeros in the shape of `rows`, in that type.
at::Tensor zero_gradient(const at::Tensor& rows);

// --- anchors that are their own candidates ------------------------------------------------------
// Row i never sees itself. Only tiles on and above the diagonal are made: M M D operations forward,
// 2 M M D + M M D backward. The mask must be symmetric: if i does not see j, j does not see i.

/// A part of the tiles: those with number n, n mod count == index. For several ranks.
struct TileShare {
  int64_t index = 0, count = 1;
};

/// z [M, D] -> [M] float64, over the tiles of `share`; combine_lse() of all shares is the whole.
at::Tensor self_lse_forward(const at::Tensor& z, double scale, const LseMask& mask,
                            TileShare share = {}, bool cuda_kernels = false);

/// The gradient with respect to z, [M, D], summed over the tiles of `share`; added to `into` if
/// that is defined. scale_gradient() of it counts every pair twice: halve it.
at::Tensor self_lse_backward(const at::Tensor& z, double scale, const LseMask& mask,
                             const LseAdjoint& rows, TileShare share = {},
                             const at::Tensor& into = {}, bool cuda_kernels = false);

/// partial [R, M] -> [M]: log sum_r exp(partial_r), r in order.
at::Tensor combine_lse(const at::Tensor& partial);

}  // namespace cltrain
