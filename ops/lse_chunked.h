// The portable engine behind ops/lse.h for tensors on any device: chunks of rows against all
// candidates with LibTorch's own operators, so that M x K is held a chunk at a time (kChunkBytes).
// What CUDA tensors take; on CPU tensors a second opinion for tests. Contracts as in ops/lse.h.
#pragma once

#include "ops/lse.h"

namespace cltrain {

TwoWayLse lse_forward_chunked(const LseProblem& problem, LseDirections directions);
LseGradients lse_backward_chunked(const LseProblem& problem, const LseAdjoint& rows,
                                  const LseAdjoint& columns, bool want_anchors,
                                  bool want_candidates);
at::Tensor self_lse_forward_chunked(const LseProblem& problem, TileShare share);
at::Tensor self_lse_backward_chunked(const LseProblem& problem, const LseAdjoint& rows,
                                     TileShare share);

}  // namespace cltrain
