#include "data/views.h"

#include "data/augment.h"
#include "data/decode.h"
#include "data/view_maker.h"

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>
#include <string>

namespace cltrain {
namespace {

/// The counter of the draws has four bits for the view (ops/keyed_random.h).
constexpr size_t kMostViews = 16;

struct Scratch {
  DecodeScratch decode;
  ViewScratch view;
};

/// This thread's working memory; it carries nothing from one picture to the
/// next.
Scratch& scratch_of_thread() {
  thread_local Scratch scratch;
  return scratch;
}

void give_back(std::vector<uint8_t>& memory) {
  if (memory.capacity() <= kKeptBytes) return;
  memory.clear();
  memory.shrink_to_fit();
}

void give_back_much(DecodeScratch& scratch) {
  give_back(scratch.pixels);
  give_back(scratch.upright);
}

/// An empty file is neither: it is opened, and refused there.
bool holds_pixels(const RawImage& raw) {
  return !raw.pixels.pixels.empty();
}

Box around(const Box& one, const Box& other) {
  const int64_t top = std::min(one.top, other.top), left = std::min(one.left, other.left);
  const int64_t bottom = std::max(one.top + one.height, other.top + other.height);
  const int64_t right = std::max(one.left + one.width, other.left + other.width);
  return {top, left, bottom - top, right - left};
}

/// Views of sets whose samples are single pictures.
class ImageViews : public ViewMaker {
 public:
  ImageViews(const Dataset& dataset, const AugmentOptions& options)
      : ViewMaker({3, options.size, options.size}), dataset_(dataset), options_(options) {}

  void make(int64_t position, PhiloxKey key, std::span<float* const> outs) const override {
    make_views(dataset_.raw(position), options_, key,
               static_cast<uint64_t>(dataset_.source_id(position)), outs);
  }
  void make_plain(int64_t position, float* out) const override {
    make_plain_view(dataset_.raw(position), options_, out);
  }
  std::vector<Image> originals(int64_t position, PhiloxKey) const override {
    return {dataset_.image(position)};
  }

 private:
  const Dataset& dataset_;
  const AugmentOptions options_;
};

}  // namespace

std::unique_ptr<ViewMaker> Dataset::views(const AugmentOptions& options) const {
  return std::make_unique<ImageViews>(*this, options);
}

int64_t largest_reduction(int64_t pixels, int64_t wanted) {
  int64_t reduction = 8;
  while (reduction > 1 && pixels < wanted * reduction) reduction /= 2;
  return reduction;
}

DecodePlan plan_decode(std::span<const ViewDraw> draws, const AugmentOptions& options) {
  Box part = draws.front().crop;
  int64_t shortest = std::min(part.height, part.width);
  for (const ViewDraw& draw : draws.subspan(1)) {
    part = around(part, draw.crop);
    shortest = std::min({shortest, draw.crop.height, draw.crop.width});
  }
  return {part, options.jpeg_scaling ? largest_reduction(shortest, options.size) : 1};
}

void make_views(const RawImage& raw, const AugmentOptions& options, PhiloxKey key,
                uint64_t sample_id, std::span<float* const> outs) {
  if (outs.empty() || outs.size() > kMostViews)
    throw std::invalid_argument("make_views: " + std::to_string(outs.size()) +
                                " views; allowed: 1 to " + std::to_string(kMostViews));
  std::unique_ptr<EncodedImage> file;
  if (!holds_pixels(raw)) file = open_image(raw.encoded, raw.name);
  const int64_t height = file ? file->height() : raw.pixels.height;
  const int64_t width = file ? file->width() : raw.pixels.width;
  std::array<ViewDraw, kMostViews> draws;
  for (size_t view = 0; view < outs.size(); ++view)
    draws[view] = draw_view(options, height, width, key, sample_id, static_cast<uint32_t>(view));
  Scratch& scratch = scratch_of_thread();
  Picture picture = whole_picture(raw.pixels);
  if (file) {
    const DecodePlan plan = plan_decode(std::span(draws).first(outs.size()), options);
    picture = file->decode(plan.part, plan.reduction, scratch.decode);
  }
  for (size_t view = 0; view < outs.size(); ++view)
    apply_view(picture, draws[view], options, scratch.view, outs[view]);
  give_back_much(scratch.decode);
}

void make_plain_view(const RawImage& raw, const AugmentOptions& options, float* out) {
  Scratch& scratch = scratch_of_thread();
  if (holds_pixels(raw)) {
    plain_view(whole_picture(raw.pixels), raw.pixels.height, raw.pixels.width, options,
               scratch.view, out);
    return;
  }
  const std::unique_ptr<EncodedImage> file = open_image(raw.encoded, raw.name);
  const int64_t height = file->height(), width = file->width();
  const int64_t shorter = plain_shorter_side(options, height, width);
  const int64_t reduction =
      options.jpeg_scaling ? largest_reduction(std::min(height, width), shorter) : 1;
  const Picture picture = file->decode({0, 0, height, width}, reduction, scratch.decode);
  plain_view(picture, height, width, options, scratch.view, out);
  give_back_much(scratch.decode);
}

}  // namespace cltrain
