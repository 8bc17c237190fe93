// Images without augmentation, for evaluation.
//
// Called on every rank for its own rows; starts `workers` threads for the time of the call. The
// result does not depend on their number. Throws what the data set throws.
#pragma once

#include "data/dataset.h"
#include "data/options.h"
#include "data/sampler.h"

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace cltrain {

/// plain_view (data/augment.h) of the images at positions rows.begin .. rows.end - 1:
/// [n, 3, size, size] float32. Requires workers >= 1 (std::invalid_argument).
at::Tensor plain_images(const Dataset& dataset, RowRange rows, const AugmentOptions& options,
                        int64_t workers);

}  // namespace cltrain
