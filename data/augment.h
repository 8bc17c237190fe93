// SimCLR's augmentation (Chen et al. 2020, appendix A) with torchvision's
// definitions: random resized crop, flip, colour jitter, grey, blur, normalise,
// in this order. In two pure parts: what is drawn (draw_view) and what is done
// with it (apply_view).
//
// Pictures stay 8-bit between the transforms, as torchvision keeps them.
// Resampling is torchvision's F.resized_crop(..., BICUBIC, antialias=True) on
// tensors; not PIL's, which rounds between its two passes and differs by a
// level here and there.
//
// Called through data/views.h by the loader's threads; any thread; every result
// depends on the arguments alone (and its last bits on the instruction set,
// ops/simd.h). Requires problems(options) to be empty (data/options.h).
#pragma once

#include "data/blur.h"
#include "data/dataset.h"
#include "data/options.h"
#include "data/picture.h"
#include "data/planes.h"
#include "data/resample.h"
#include "ops/keyed_random.h"

#include <array>
#include <cstdint>

namespace cltrain {

/// Everything random about one view.
struct ViewDraw {
  Box crop;  ///< in pixels of the source image
  bool flip = false;
  bool jitter = false;
  /// The jitter's order: 0 brightness, 1 contrast, 2 saturation, 3 hue.
  std::array<int, 4> order = {0, 1, 2, 3};
  double brightness = 1, contrast = 1, saturation = 1;  ///< factors
  double hue = 0;                                       ///< turns of the colour circle
  bool gray = false;
  bool blur = false;
  double sigma = 1;  ///< pixels of the view
};

/// The draws of one view. `key` is random_key(seed, Purpose::kAugmentation,
/// epoch); `sample_id` is Dataset::source_id. Each transform draws at a site of
/// its own, so that switching one off leaves the draws of the others as they
/// are. Distributions: torchvision's RandomResizedCrop.get_params and
/// ColorJitter.get_params.
ViewDraw draw_view(const AugmentOptions& options, int64_t image_height, int64_t image_width,
                   PhiloxKey key, uint64_t sample_id, uint32_t view);

/// Memory that is kept from view to view. It carries no state.
struct ViewScratch {
  ResampleScratch resample;
  BlurScratch blur;
  Planes picture;
};

/// Writes the view, [3, size, size], normalised: (value / 255 - mean) / std.
/// `picture` holds at least draw.crop.
void apply_view(const Picture& picture, const ViewDraw& draw, const AugmentOptions& options,
                ViewScratch& scratch, float* out);
void apply_view(const Image& image, const ViewDraw& draw, const AugmentOptions& options,
                float* out);

/// The two steps of apply_view that have no file of their own.
void jitter(Planes& picture, const ViewDraw& draw);
void normalise(const Planes& picture, const AugmentOptions& options, float* out);

/// The picture without augmentation, for evaluation: its shorter side is
/// resized to plain_shorter_side, the centre is cut out, and the result
/// normalised into out, [3, size, size]. `height` and `width` are the picture's
/// at its full size; one of size x size is only normalised.
void plain_view(const Picture& picture, int64_t height, int64_t width,
                const AugmentOptions& options, ViewScratch& scratch, float* out);
void plain_view(const Image& image, const AugmentOptions& options, float* out);

/// `size`, and above 64 pixels the usual margin: size * 256 / 224.
int64_t plain_shorter_side(const AugmentOptions& options, int64_t height, int64_t width);

}  // namespace cltrain
