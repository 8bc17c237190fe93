// All views of one sample: draws them, decodes what they need, applies them. The one place that
// knows both the draws and the decoder, so that a JPEG is decoded once for all its views and no
// larger than they ask for.
//
// Called by the loader's threads and by `cltrain views`; any thread; the result depends on the
// arguments alone.
#pragma once

#include "data/dataset.h"
#include "data/options.h"
#include "ops/keyed_random.h"

#include <cstdint>
#include <span>

namespace cltrain {

/// Writes view i of `raw` to outs[i], [3, size, size] each, normalised. `key` and `sample_id`: see
/// draw_view (data/augment.h). Throws BadSample where the sample cannot be decoded.
void make_views(const RawImage& raw, const AugmentOptions& options, PhiloxKey key,
                uint64_t sample_id, std::span<float* const> outs);

/// plain_view (data/augment.h) of a sample that may be encoded.
void make_plain_view(const RawImage& raw, const AugmentOptions& options, float* out);

}  // namespace cltrain
