#include "data/views.h"

#include "data/augment.h"
#include "data/decode.h"

namespace cltrain {
namespace {

Image decoded(const RawImage& raw) {
  return raw.encoded.empty() ? raw.pixels : decode_image(raw.encoded, raw.name);
}

}  // namespace

void make_views(const RawImage& raw, const AugmentOptions& options, PhiloxKey key,
                uint64_t sample_id, std::span<float* const> outs) {
  const Image image = decoded(raw);
  for (size_t view = 0; view < outs.size(); ++view) {
    const ViewDraw draw =
        draw_view(options, image.height, image.width, key, sample_id, static_cast<uint32_t>(view));
    apply_view(image, draw, options, outs[view]);
  }
}

void make_plain_view(const RawImage& raw, const AugmentOptions& options, float* out) {
  plain_view(decoded(raw), options, out);
}

}  // namespace cltrain
