// The tiled engine on CPU tensors behind ops/lse.h: one object a pass. See there for the contract.
#pragma once

#include "ops/lse.h"

namespace cltrain {

/// `problem` with contiguous tensors of one type on the CPU. `self`: candidates are the anchors and
/// only the triangle's tiles of `share` are made.
TwoWayLse lse_forward_cpu(const LseProblem& problem, LseDirections directions, bool self,
                          TileShare share);
LseGradients lse_backward_cpu(const LseProblem& problem, const LseAdjoint& rows,
                              const LseAdjoint& columns, bool want_anchors, bool want_candidates,
                              bool self, TileShare share, const LseGradients& into);

}  // namespace cltrain
