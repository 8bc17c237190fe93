#include "data/clip_views.h"

#include "data/augment.h"

#include <algorithm>
#include <numeric>
#include <string>

namespace cltrain {
namespace {

Image image_of(const Picture& frame) {
  const auto bytes = static_cast<size_t>(3 * frame.height * frame.width);
  return {frame.height, frame.width, {frame.pixels, frame.pixels + bytes}};
}

class ClipViews : public ViewMaker {
 public:
  ClipViews(const VideoSet& set, const ClipOptions& clips, const AugmentOptions& options)
      : ViewMaker(clip_shape(clips, options)), set_(set), clips_(clips), options_(options) {}

  void make(int64_t position, PhiloxKey key, std::span<float* const> outs) const override {
    const auto video = set_.open(position);
    const uint64_t id = id_of(position);
    std::vector<ViewDraw> draws;
    for (uint32_t view = 0; view < outs.size(); ++view)
      draws.push_back(draw_view(options_, video->height(), video->width(), key, id, view));
    ViewScratch scratch;
    video->read(drawn_slots(*video, key, id), [&](size_t frame, const Picture& picture) {
      for (uint32_t view = 0; view < outs.size(); ++view) {
        const ViewDraw draw =
            options_.per_frame_colour
                ? draw_of_frame(draws[view], options_, key, id, view, static_cast<int64_t>(frame))
                : draws[view];
        apply_view(picture, draw, options_, scratch, frame_of(outs[view], frame));
      }
    });
  }

  int64_t plain_views() const override { return clips_.eval_clips; }

  void make_plain(int64_t position, float* out) const override {
    const auto video = set_.open(position);
    // Clips may overlap: their frames are read in order of time, each slot with where it goes.
    std::vector<std::pair<int64_t, ViewOut>> wanted;
    for (const int64_t start : spread_starts(starts_of(*video), clips_.eval_clips)) {
      for (int64_t frame = 0; frame < clips_.frames; ++frame)
        wanted.emplace_back(start + frame * clips_.stride,
                            frame_of(out, static_cast<size_t>(frame)));
      out += values();
    }
    std::stable_sort(wanted.begin(), wanted.end(),
                     [](const auto& left, const auto& right) { return left.first < right.first; });
    std::vector<int64_t> slots;
    for (const auto& each : wanted) slots.push_back(each.first);
    ViewScratch scratch;
    video->read(slots, [&](size_t i, const Picture& picture) {
      plain_view(picture, video->height(), video->width(), options_, scratch, wanted[i].second);
    });
  }

  std::vector<Image> originals(int64_t position, PhiloxKey key) const override {
    const auto video = set_.open(position);
    std::vector<Image> frames;
    video->read(drawn_slots(*video, key, id_of(position)),
                [&](size_t, const Picture& picture) { frames.push_back(image_of(picture)); });
    return frames;
  }

 private:
  uint64_t id_of(int64_t position) const { return static_cast<uint64_t>(set_.source_id(position)); }

  ViewOut frame_of(float* view, size_t frame) const {
    const int64_t plane = options_.size * options_.size;
    return {view + static_cast<int64_t>(frame) * plane, clips_.frames * plane};
  }

  /// In how many places a clip may start.
  int64_t starts_of(const VideoFile& video) const {
    const int64_t length = clips_.frames * clips_.stride;
    if (video.frames() < length)
      throw BadSample("too_short", video.name() + ": " + std::to_string(video.frames()) +
                                       " frames, a clip takes " + std::to_string(length) +
                                       " (data.frames=" + std::to_string(clips_.frames) +
                                       " x data.stride=" + std::to_string(clips_.stride) +
                                       "): lower these, or remove the file");
    return video.frames() - length + 1;
  }

  std::vector<int64_t> drawn_slots(const VideoFile& video, PhiloxKey key, uint64_t id) const {
    std::vector<int64_t> slots(static_cast<size_t>(clips_.frames));
    int64_t slot = draw_clip_start(key, id, starts_of(video));
    for (int64_t& each : slots) {
      each = slot;
      slot += clips_.stride;
    }
    return slots;
  }

  const VideoSet& set_;
  const ClipOptions clips_;
  const AugmentOptions options_;
};

}  // namespace

ViewShape clip_shape(const ClipOptions& clips, const AugmentOptions& options) {
  return {3, clips.frames, options.size, options.size};
}

Image VideoSet::image(int64_t position) const {
  const auto video = open(position);
  const int64_t middle[] = {video->frames() / 2};
  Image image;
  video->read(middle, [&](size_t, const Picture& frame) { image = image_of(frame); });
  return image;
}

std::unique_ptr<ViewMaker> VideoSet::views(const AugmentOptions& options) const {
  return std::make_unique<ClipViews>(*this, clips_, options);
}

}  // namespace cltrain
