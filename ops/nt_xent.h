// NT-Xent, the dense and readable form: the oracle of any faster one.
// Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
// arXiv 2002.05709, equation 1. Pure, one rank, thread-safe, differentiable in every tensor.
#pragma once

#include <ATen/core/Tensor.h>

namespace cltrain {

/// This rank's share of the mean over all anchors:
///   (1 / total_anchors) * sum_i [ log sum_{j != self_column(i)} exp(scale <a_i, c_j>)
///                                 - scale <a_i, c_positive_column(i)> ]
/// anchors [M, D] and candidates [K, D], usually L2-normalised; self_column and positive_column [M]
/// int64 into the candidates; scale = 1 / temperature, a scalar tensor. M = 0 gives 0 with a graph.
/// Holds M x K similarities.
at::Tensor nt_xent_share(const at::Tensor& anchors, const at::Tensor& candidates,
                         const at::Tensor& self_column, const at::Tensor& positive_column,
                         const at::Tensor& scale, int64_t total_anchors);

}  // namespace cltrain
