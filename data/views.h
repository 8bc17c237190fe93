// All views of one picture: draws them, decodes what they need, applies them. The one place that
// knows both the draws and the decoder, so that a JPEG is decoded once for all its views, only
// where they look, and no larger than they ask for.
//
// Draws are in pixels of the whole, upright picture at its full size, so they do not depend on what
// is decoded. With augment.jpeg_scaling, a JPEG is reduced inside the decoder by the largest of 1,
// 2, 4 and 8 that leaves `size` pixels or more on each side of every crop; crops then lie between
// pixels, at exact places. Without it, views are those of the fully decoded picture to the bit.
//
// Called through Dataset::views() (data/view_maker.h); any thread. The result depends on the
// arguments alone. Each thread keeps its working memory between calls, up to kKeptBytes of pixels.
#pragma once

#include "data/augment.h"
#include "data/dataset.h"
#include "data/options.h"
#include "data/picture.h"
#include "ops/keyed_random.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace cltrain {

/// Decoded pixels that a thread keeps memory for; what a larger picture took is given back.
constexpr size_t kKeptBytes = size_t{64} << 20;

/// Writes view i of `raw` to outs[i], [3, size, size] each, normalised. `key` and `sample_id`: see
/// draw_view (data/augment.h). At most 16 views. Throws BadSample where the sample cannot be
/// decoded; what is in outs is then unspecified.
void make_views(const RawImage& raw, const AugmentOptions& options, PhiloxKey key,
                uint64_t sample_id, std::span<float* const> outs);

/// plain_view (data/augment.h) of a sample that may be encoded.
void make_plain_view(const RawImage& raw, const AugmentOptions& options, float* out);

/// What must be decoded of an encoded picture for some views of it.
struct DecodePlan {
  Box part;           ///< around all crops
  int64_t reduction;  ///< 1, 2, 4 or 8
};
DecodePlan plan_decode(std::span<const ViewDraw> draws, const AugmentOptions& options);

/// The largest of 1, 2, 4 and 8 by which a side of `pixels` can be divided and keep `wanted`.
int64_t largest_reduction(int64_t pixels, int64_t wanted);

}  // namespace cltrain
