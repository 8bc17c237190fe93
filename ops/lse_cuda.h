// The CUDA path of ops/lse.h on kernels of its own. Unverified: no GPU has run it. Off by default
// (LseProblem::cuda_kernels, the option loss.cuda_kernels): CUDA tensors take ops/lse_chunked.cpp.
// ops/lse.cpp calls; one rank, any thread, on the device and stream in use. An error of CUDA or
// cuBLAS throws std::runtime_error; calls return before the GPU is done.
//
//   portable  any GPU from sm_80, float32, float64 and bfloat16: products by cuBLAS into a chunk of
//             logits that the workspace bounds, then one kernel that reads them once (sums of rows;
//             sums of columns; or weights, which are written in the type of the next product).
//   fused     sm_90, bfloat16 rows of a width that is a multiple of 8: logits stay in registers
//             (ops/lse_fused_*.cu). Weights go to memory in bfloat16, a chunk at a time, for
//             embeddings wider than 256, and for gradients of candidates under excluded columns.
//
// Semantics as in ops/lse_chunked.h; bfloat16 weights are rounded to bfloat16 in the backward pass,
// as on the CPU. Every sum has a fixed order: equal inputs give equal bits on one kind of GPU.
#pragma once

#include "ops/lse.h"
#include "ops/lse_kernels.h"

#include <memory>

namespace cltrain {

/// Bytes that a pass may take for logits, weights or partial sums besides its results; one row (of
/// the fused path: 128 rows) is made in any case.
inline constexpr int64_t kLseWorkspace = int64_t{256} << 20;

/// Whether this program has the kernels, and the fused ones among them.
bool has_lse_cuda_kernels();
bool has_lse_fused_kernels();
/// Those of the device and the stream in use, the fused ones where they can run and are wanted;
/// throws where none were built.
std::unique_ptr<LseKernels> lse_kernels_here(bool fused = true);

/// `problem`: contiguous, with rows on both sides. `self`: candidates are the anchors, each without
/// itself, and only the rows of `share` are computed (others: -inf, no gradient).
TwoWayLse lse_forward_by(LseKernels& kernels, const LseProblem& problem, LseDirections directions,
                         bool self, TileShare share, int64_t workspace = kLseWorkspace);
/// Gradients are added to `into` where that is defined. For `self`, columns is ignored.
LseGradients lse_backward_by(LseKernels& kernels, const LseProblem& problem, const LseAdjoint& rows,
                             const LseAdjoint& columns, bool want_anchors, bool want_candidates,
                             bool self, TileShare share, const LseGradients& into = {},
                             int64_t workspace = kLseWorkspace);

}  // namespace cltrain
