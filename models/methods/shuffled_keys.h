// Shuffled batch norm (He et al., arXiv 1911.05722, section 3.3): where batch norm sees a part of
// the batch, a query and its key must not be normalised with the same companions, or the network
// finds pairs by their statistics. Keys are computed in another order, drawn anew every step.
#pragma once

#include "models/method.h"

#include <functional>

namespace cltrain {

/// `encode` of this rank's `images` [b, ...], computed as if the rows of the whole chunk
/// (context.rows) stood in an order drawn for (seed, step) and were cut over the ranks and the
/// slices of batch norm anew; the result, [b, D], is in the order of `images` again. Without graph.
/// The same at any number of ranks. Collective.
at::Tensor encode_shuffled(const at::Tensor& images, const StepContext& context,
                           const std::function<at::Tensor(const at::Tensor&)>& encode);

}  // namespace cltrain
