// Pictures and clips without augmentation, for evaluation.
//
// Called on every rank for its own rows; starts `workers` threads for the time of the call. The
// result does not depend on their number. A BadSample (data/dataset.h) is left out; anything else
// that the data set throws comes out.
#pragma once

#include "data/dataset.h"
#include "data/options.h"
#include "data/sampler.h"
#include "data/view_maker.h"

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

struct PlainImages {
  /// [n * views, ...] float32, the views of a sample one after the other; a picture has one,
  /// [3, S, S], a video ViewMaker::plain_views() of [3, T, S, S].
  at::Tensor pictures;
  int64_t views = 1;
  std::vector<int64_t> positions;     ///< [n], ascending
  std::vector<std::string> left_out;  ///< why, one message a bad sample, in order of position
};

/// ViewMaker::make_plain of the samples at positions rows.begin .. rows.end - 1 that can be used.
/// Requires rows of the set and workers >= 1 (std::invalid_argument).
PlainImages plain_images(const ViewMaker& maker, RowRange rows, int64_t workers);
PlainImages plain_images(const Dataset& dataset, RowRange rows, const AugmentOptions& options,
                         int64_t workers);

}  // namespace cltrain
