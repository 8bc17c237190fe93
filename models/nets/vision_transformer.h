// Vision Transformer (Dosovitskiy et al., arXiv 2010.11929) as MoCo v3 trains it (Chen, Xie, He,
// arXiv 2104.02057, section 5): patches, class token, positions that are fixed sines and cosines,
// blocks that normalise first, and by default a patch projection that stays as it was drawn ("a
// random patch projection is stable"). The feature is the class token behind the last norm.
//
// Parameter names are those of timm's vision_transformer without `head`. What is not trained
// (pos_embed always, patch_embed.proj with freeze_patch) is a buffer: it is saved and exported
// under the same name, and no optimiser, parameter group or gradient sum meets it.
#pragma once

#include "models/nets/encoder.h"

#include <memory>
#include <string>

namespace cltrain {

struct VisionTransformerSettings {
  int64_t dim = 384;  ///< width of a token; a multiple of 4 and of the heads
  int64_t depth = 12;
  int64_t heads = 12;
  int64_t patch = 16;      ///< side of a patch, pixels
  int64_t image_size = 0;  ///< side of the images, a multiple of patch; pos_embed depends on it
  bool freeze_patch = true;
};

/// `dim` times `width`, to the nearest multiple of 8 * heads, and at least that.
int64_t scaled_dim(int64_t dim, int64_t heads, double width);

/// What makes a network of these settings impossible, in the words of the options; empty if nothing
/// does.
std::string problem_of(const VisionTransformerSettings& settings);

/// Images [N, 3, image_size, image_size] -> features [N, dim]. Initial weights are MoCo v3's.
std::shared_ptr<Encoder> make_vision_transformer(const VisionTransformerSettings& settings,
                                                 uint64_t seed);

/// The position embedding [1, 1 + rows^2, dim] of rows x rows patches in reading order, behind the
/// class token's zeros: with w_m = 10000^(-4m / dim), m < dim / 4, a patch at row r and column c
/// has sin(r w), cos(r w), sin(c w), cos(c w).
at::Tensor sine_positions(int64_t rows, int64_t dim);

}  // namespace cltrain
