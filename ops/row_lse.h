// The differentiable form of ops/lse.h: gradients flow to anchors, candidates and the scale. One
// rank; contracts, types and masks as there. Losses are arithmetic on these vectors (ops/losses.h).
#pragma once

#include "ops/lse.h"

namespace cltrain {

/// log sum_j exp(scale w_j <a_i, c_j>) over allowed j: anchors [M, D], candidates [K, D] -> [M]
/// float64. scale is a scalar tensor above 0; candidate_weight [K] or undefined multiplies logits
/// (a queue that fades with age) and gets no gradient.
at::Tensor row_lse(const at::Tensor& anchors, const at::Tensor& candidates, const at::Tensor& scale,
                   const LseMask& mask = {}, const at::Tensor& candidate_weight = {});

/// Rows and columns of the same logits in one pass: the two directions of CLIP. Four matrix
/// products forward and backward.
TwoWayLse two_way_lse(const at::Tensor& anchors, const at::Tensor& candidates,
                      const at::Tensor& scale, const LseMask& mask = {});

/// Anchors that are their own candidates, each without itself: z [M, D] -> [M] float64. The mask
/// must be symmetric.
at::Tensor self_lse(const at::Tensor& z, const at::Tensor& scale, const LseMask& mask = {});

}  // namespace cltrain
