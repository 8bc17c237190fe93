#include "data/augment.h"

#include "data/blur.h"
#include "data/colour.h"
#include "ops/simd.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace cltrain {
namespace {

/// Places of the draws in the counter. Part of the format of experiments: never
/// renumber.
enum Site : uint32_t {
  kCrop = 0,
  kFlip = 1,
  kJitter = 2,
  kOrder = 3,
  kBrightness = 4,
  kContrast = 5,
  kSaturation = 6,
  kHue = 7,
  kGray = 8,
  kBlur = 9,
  kSigma = 10,
  kSolarize = 11,
  kClipStart = 12,
};

/// Sites of one frame's own draws follow those of the clip.
constexpr uint32_t kSitesOfFrame = 16;

ViewOut whole_view(const AugmentOptions& options, float* out) {
  return {out, options.size * options.size};
}

/// Python's round(): halves go to the even neighbour.
int64_t round_even(double value) {
  return static_cast<int64_t>(std::nearbyint(value));
}

/// The largest crop of an allowed ratio, in the middle.
Box central_crop(const AugmentOptions& options, int64_t height, int64_t width) {
  const double ratio = static_cast<double>(width) / static_cast<double>(height);
  Box box{0, 0, height, width};
  if (ratio < options.ratio_min)
    box.height = round_even(static_cast<double>(width) / options.ratio_min);
  else if (ratio > options.ratio_max)
    box.width = round_even(static_cast<double>(height) * options.ratio_max);
  box.height = std::clamp<int64_t>(box.height, 1, height);
  box.width = std::clamp<int64_t>(box.width, 1, width);
  box.top = (height - box.height) / 2;
  box.left = (width - box.width) / 2;
  return box;
}

Box draw_crop(const AugmentOptions& options, int64_t height, int64_t width, KeyedStream stream) {
  const double area = static_cast<double>(height) * static_cast<double>(width);
  const double log_low = std::log(options.ratio_min), log_high = std::log(options.ratio_max);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double target = area * stream.uniform(options.crop_scale_min, options.crop_scale_max);
    const double ratio = std::exp(stream.uniform(log_low, log_high));
    const int64_t crop_width = round_even(std::sqrt(target * ratio));
    const int64_t crop_height = round_even(std::sqrt(target / ratio));
    if (crop_width < 1 || crop_width > width || crop_height < 1 || crop_height > height) continue;
    const auto top = stream.below(static_cast<uint64_t>(height - crop_height + 1));
    const auto left = stream.below(static_cast<uint64_t>(width - crop_width + 1));
    return {static_cast<int64_t>(top), static_cast<int64_t>(left), crop_height, crop_width};
  }
  return central_crop(options, height, width);
}

/// Where the draws of a view lie in the counter.
struct Place {
  PhiloxKey key;
  uint64_t sample_id;
  uint32_t view;
  uint32_t first_site = 0;

  KeyedStream operator()(Site site) const {
    return KeyedStream(key, sample_id, view, first_site + site);
  }
};

/// Jitter and grey.
void draw_colour(ViewDraw& draw, const AugmentOptions& options, const Place& at) {
  const auto factor = [&](Site site, double strength) {
    return at(site).uniform(std::max(0.0, 1 - strength), 1 + strength);
  };
  draw.jitter = at(kJitter).chance(options.jitter_probability);
  draw.order = {0, 1, 2, 3};
  KeyedStream order = at(kOrder);
  for (uint64_t last = 3; last > 0; --last)
    std::swap(draw.order[last], draw.order[order.below(last + 1)]);
  draw.brightness = factor(kBrightness, options.brightness);
  draw.contrast = factor(kContrast, options.contrast);
  draw.saturation = factor(kSaturation, options.saturation);
  draw.hue = at(kHue).uniform(-options.hue, options.hue);
  draw.gray = at(kGray).chance(options.gray);
}

CLTRAIN_SIMD void invert_from_128(uint8_t* levels, int64_t count) {
#pragma omp simd
  for (int64_t at = 0; at < count; ++at)
    levels[at] = static_cast<uint8_t>(levels[at] >= 128 ? 255 - levels[at] : levels[at]);
}

CLTRAIN_SIMD void scale_to_floats(const uint8_t* __restrict levels, int64_t count, float scale,
                                  float shift, float* __restrict out) {
#pragma omp simd
  for (int64_t at = 0; at < count; ++at) out[at] = static_cast<float>(levels[at]) * scale + shift;
}

}  // namespace

ViewDraw draw_view(const AugmentOptions& options, int64_t image_height, int64_t image_width,
                   PhiloxKey key, uint64_t sample_id, uint32_t view) {
  const Place at{key, sample_id, view};
  ViewDraw draw;
  draw.crop = draw_crop(options, image_height, image_width, at(kCrop));
  draw.flip = at(kFlip).chance(options.flip);
  draw_colour(draw, options, at);
  draw.blur = at(kBlur).chance(options.blur.of(view));
  draw.sigma = at(kSigma).uniform(options.blur_sigma_min, options.blur_sigma_max);
  draw.solarize = at(kSolarize).chance(options.solarize.of(view));
  return draw;
}

ViewDraw draw_of_frame(ViewDraw draw, const AugmentOptions& options, PhiloxKey key,
                       uint64_t sample_id, uint32_t view, int64_t frame) {
  draw_colour(draw, options,
              {key, sample_id, view, kSitesOfFrame * (static_cast<uint32_t>(frame) + 1)});
  return draw;
}

int64_t draw_clip_start(PhiloxKey key, uint64_t sample_id, int64_t starts) {
  return static_cast<int64_t>(
      KeyedStream(key, sample_id, 0, kClipStart).below(static_cast<uint64_t>(starts)));
}

void jitter(Planes& picture, const ViewDraw& draw) {
  for (const int which : draw.order) {
    if (which == 0) adjust_brightness(picture, draw.brightness);
    if (which == 1) adjust_contrast(picture, draw.contrast);
    if (which == 2) adjust_saturation(picture, draw.saturation);
    if (which == 3) adjust_hue(picture, draw.hue);
  }
}

void solarize(Planes& picture) {
  invert_from_128(picture.pixels.data(), 3 * picture.area());
}

void normalise(const Planes& picture, const AugmentOptions& options, const ViewOut& out) {
  for (int channel = 0; channel < 3; ++channel) {
    const double mean = options.mean[static_cast<size_t>(channel)];
    const double deviation = options.std[static_cast<size_t>(channel)];
    scale_to_floats(picture.plane(channel), picture.area(),
                    static_cast<float>(1 / (255 * deviation)),
                    static_cast<float>(-mean / deviation), out.red + channel * out.distance);
  }
}

void apply_view(const Picture& source, const ViewDraw& draw, const AugmentOptions& options,
                ViewScratch& scratch, const ViewOut& out) {
  Planes& picture = scratch.picture;
  resample(source,
           {.crop = source.place(draw.crop),
            .resized_height = options.size,
            .resized_width = options.size,
            .side = options.size,
            .flip = draw.flip},
           scratch.resample, picture);
  if (draw.jitter) jitter(picture, draw);
  if (draw.gray) make_gray(picture);
  if (draw.blur) gaussian_blur(picture, blur_kernel_size(options), draw.sigma, scratch.blur);
  if (draw.solarize) solarize(picture);
  normalise(picture, options, out);
}

void apply_view(const Picture& source, const ViewDraw& draw, const AugmentOptions& options,
                ViewScratch& scratch, float* out) {
  apply_view(source, draw, options, scratch, whole_view(options, out));
}

void apply_view(const Image& image, const ViewDraw& draw, const AugmentOptions& options,
                float* out) {
  ViewScratch scratch;
  apply_view(whole_picture(image), draw, options, scratch, out);
}

int64_t plain_shorter_side(const AugmentOptions& options, int64_t height, int64_t width) {
  const int64_t size = options.size;
  const bool margin = size > 64 && !(height == size && width == size);
  return margin ? round_even(static_cast<double>(size) * 256 / 224) : size;
}

void plain_view(const Picture& source, int64_t height, int64_t width, const AugmentOptions& options,
                ViewScratch& scratch, const ViewOut& out) {
  const int64_t size = options.size, shorter = plain_shorter_side(options, height, width);
  // torchvision's Resize: the longer side is cut to a whole number, not
  // rounded.
  const int64_t resized_height = height > width ? shorter * height / width : shorter;
  const int64_t resized_width = width > height ? shorter * width / height : shorter;
  resample(source,
           {.crop = source.place({0, 0, height, width}),
            .resized_height = resized_height,
            .resized_width = resized_width,
            .top = round_even(static_cast<double>(resized_height - size) / 2),
            .left = round_even(static_cast<double>(resized_width - size) / 2),
            .side = size},
           scratch.resample, scratch.picture);
  normalise(scratch.picture, options, out);
}

void plain_view(const Picture& source, int64_t height, int64_t width, const AugmentOptions& options,
                ViewScratch& scratch, float* out) {
  plain_view(source, height, width, options, scratch, whole_view(options, out));
}

void plain_view(const Image& image, const AugmentOptions& options, float* out) {
  ViewScratch scratch;
  plain_view(whole_picture(image), image.height, image.width, options, scratch, out);
}

}  // namespace cltrain
