// SimCLR's augmentation (Chen et al. 2020, appendix A), and BYOL's solarisation
// (Grill et al. 2020, appendix B; torchvision's RandomSolarize(128)), with
// torchvision's definitions: random resized crop, flip, colour jitter, grey, blur,
// solarise, normalise, in this order. In two pure parts: what is drawn (draw_view)
// and what is done with it (apply_view). A clip is augmented frame by frame with the
// draws of one view (data/clip_views.h).
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
  bool solarize = false;
};

/// The draws of one view. `key` is random_key(seed, Purpose::kAugmentation,
/// epoch); `sample_id` is Dataset::source_id. Each transform draws at a site of
/// its own, so that switching one off leaves the draws of the others as they
/// are. Distributions: torchvision's RandomResizedCrop.get_params and
/// ColorJitter.get_params.
ViewDraw draw_view(const AugmentOptions& options, int64_t image_height, int64_t image_width,
                   PhiloxKey key, uint64_t sample_id, uint32_t view);

/// The same view with the jitter and the grey of one frame, 0 .. kMostClipFrames - 1, drawn anew
/// (augment.per_frame_colour): from places of their own, so that no other draw changes.
ViewDraw draw_of_frame(ViewDraw view_of_clip, const AugmentOptions& options, PhiloxKey key,
                       uint64_t sample_id, uint32_t view, int64_t frame);

/// Where a clip starts that may start at 0 .. starts - 1; the same for all views of a sample.
/// 1 <= starts <= 2^32.
int64_t draw_clip_start(PhiloxKey key, uint64_t sample_id, int64_t starts);

/// Frames of a clip at most: the counter of the draws has eight bits for the frame.
constexpr int64_t kMostClipFrames = 255;

/// Memory that is kept from view to view. It carries no state.
struct ViewScratch {
  ResampleScratch resample;
  BlurScratch blur;
  Planes picture;
};

/// Where a view's picture is written: a plane of size x size for each colour. The colours of a
/// frame in a clip, [3, T, size, size], lie T planes apart.
struct ViewOut {
  float* red;
  int64_t distance;  ///< values from one colour's plane to the next
};

/// Writes the view, normalised: (value / 255 - mean) / std. `picture` holds at least draw.crop.
void apply_view(const Picture& picture, const ViewDraw& draw, const AugmentOptions& options,
                ViewScratch& scratch, const ViewOut& out);
/// The same to [3, size, size].
void apply_view(const Picture& picture, const ViewDraw& draw, const AugmentOptions& options,
                ViewScratch& scratch, float* out);
void apply_view(const Image& image, const ViewDraw& draw, const AugmentOptions& options,
                float* out);

/// The steps of apply_view that have no file of their own.
void jitter(Planes& picture, const ViewDraw& draw);
void solarize(Planes& picture);  ///< levels from 128 on are inverted
void normalise(const Planes& picture, const AugmentOptions& options, const ViewOut& out);

/// The picture without augmentation, for evaluation: its shorter side is
/// resized to plain_shorter_side, the centre is cut out, and the result
/// normalised into out. `height` and `width` are the picture's
/// at its full size; one of size x size is only normalised.
void plain_view(const Picture& picture, int64_t height, int64_t width,
                const AugmentOptions& options, ViewScratch& scratch, const ViewOut& out);
void plain_view(const Picture& picture, int64_t height, int64_t width,
                const AugmentOptions& options, ViewScratch& scratch, float* out);
void plain_view(const Image& image, const AugmentOptions& options, float* out);

/// `size`, and above 64 pixels the usual margin: size * 256 / 224.
int64_t plain_shorter_side(const AugmentOptions& options, int64_t height, int64_t width);

}  // namespace cltrain
