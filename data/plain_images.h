// Images without augmentation, for evaluation.
//
// Called on every rank for its own rows; starts `workers` threads for the time of the call. The
// result does not depend on their number. A BadSample (data/dataset.h) is left out; anything else
// that the data set throws comes out.
#pragma once

#include "data/dataset.h"
#include "data/options.h"
#include "data/sampler.h"

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

struct PlainImages {
  at::Tensor pictures;                ///< [n, 3, size, size] float32
  std::vector<int64_t> positions;     ///< [n], ascending
  std::vector<std::string> left_out;  ///< why, one message a bad sample, in order of position
};

/// plain_view (data/augment.h) of the images at positions rows.begin .. rows.end - 1 that can be
/// used. Requires workers >= 1 (std::invalid_argument).
PlainImages plain_images(const Dataset& dataset, RowRange rows, const AugmentOptions& options,
                         int64_t workers);

}  // namespace cltrain
