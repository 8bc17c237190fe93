// Contrast over the global batch: the functions that methods call. How embeddings travel between
// the ranks is decided and hidden here. Collective: every rank calls with its rows, none included.
#pragma once

#include "dist/communicator.h"

#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

/// NT-Xent (arXiv 2002.05709, equation 1) of two views over the global batch: every other image's
/// both views are negatives. view0 and view1 [rows[rank], D] are this rank's embeddings, L2-
/// normalised; scale = 1 / temperature. `enter` hears "gather" and "loss" as these begin. Returns
/// this rank's share of the mean over the 2B anchors.
at::Tensor global_nt_xent(
    const at::Tensor& view0, const at::Tensor& view1, const at::Tensor& scale,
    const std::vector<int64_t>& rows, const Communicator& communicator,
    const std::function<void(const char*)>& enter = [](const char*) {});

}  // namespace cltrain
