// Contrast over the global batch: the functions that methods call. How embeddings travel between
// the ranks is decided and hidden here. Collective: every rank calls with its rows, none included.
#pragma once

#include "dist/communicator.h"
#include "dist/global_lse.h"

#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

/// How a loss is computed; its value does not depend on it beyond rounding.
struct ContrastSettings {
  Exchange exchange = Exchange::kGather;
  /// Embeddings travel and are multiplied in bfloat16 (products accumulate in float32): half the
  /// bytes, the multiplications of short numbers. Gradients keep the embeddings' type.
  bool bfloat16 = false;
  /// On GPUs, kernels that no GPU has run yet (LseProblem::cuda_kernels in ops/lse.h).
  bool cuda_kernels = false;
};

/// NT-Xent (arXiv 2002.05709, equation 1) of two views over the global batch: every other image's
/// both views are negatives. view0 and view1 [rows[rank], D] are this rank's embeddings, usually
/// L2-normalised; scale = 1 / temperature. `enter` hears "gather" and "loss" as these begin.
/// Returns this rank's share of the mean over the 2B anchors, float64. A batch of one image has no
/// negative: its loss is 0.
at::Tensor global_nt_xent(
    const at::Tensor& view0, const at::Tensor& view1, const at::Tensor& scale,
    const std::vector<int64_t>& rows, const Communicator& communicator,
    const Enter& enter = [](const char*) {}, const ContrastSettings& settings = {});

/// The symmetric loss of CLIP (arXiv 2103.00020, figure 3) over the global batch: x and y
/// [rows[rank], D] are this rank's pairs. Returns its share of the mean over 2B anchors, float64.
at::Tensor global_clip(
    const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale,
    const std::vector<int64_t>& rows, const Communicator& communicator,
    const Enter& enter = [](const char*) {}, const ContrastSettings& settings = {});

/// InfoNCE in one direction over the global batch (van den Oord et al., arXiv 1807.03748, equation
/// 4): each x's own y is its positive, the y of all others its negatives; both get a gradient.
/// Exchange kBalanced is refused. Share of the mean over the global batch, float64.
at::Tensor global_one_way(
    const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale,
    const std::vector<int64_t>& rows, const Communicator& communicator,
    const Enter& enter = [](const char*) {}, const ContrastSettings& settings = {});

/// InfoNCE with a queue (MoCo, He et al., arXiv 1911.05722, equation 1): queries and keys
/// [rows[rank], D] are this rank's pairs, the negatives are all of the queue's keys, faded with age
/// where decay < 1. Keys get no gradient. Returns this rank's share of the mean over the global
/// batch, float64.
at::Tensor global_queue_info_nce(
    const at::Tensor& queries, const at::Tensor& keys, const ShardedQueue& queue,
    const at::Tensor& scale, const std::vector<int64_t>& rows, const Communicator& communicator,
    const Enter& enter = [](const char*) {}, const ContrastSettings& settings = {},
    double decay = 1);

/// InfoNCE against the keys of the global batch (MoCo v3, Chen et al., arXiv 2104.02057, algorithm
/// 1, without its factor 2 / scale): each query's own key is its positive, the keys of all others
/// its negatives. Keys get no gradient. Share of the mean as above.
at::Tensor global_info_nce(
    const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& scale,
    const std::vector<int64_t>& rows, const Communicator& communicator,
    const Enter& enter = [](const char*) {}, const ContrastSettings& settings = {});

}  // namespace cltrain
