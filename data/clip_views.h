// Views of the clips of one video: T frames, a stride apart in time (data/frame_times.h), each view
// [3, T, S, S].
//
// All views of a sample are of the same frames: a start is drawn for the sample (a draw of its own,
// data/augment.h) and each view crops, flips and colours these frames. Crop, flip, blur and
// solarisation are one draw for all frames of a view, so that motion stays; jitter and grey too,
// or, with augment.per_frame_colour, are drawn for each frame, as VideoMoCo's code does. What is
// done with a frame is what is done with a picture (apply_view), and so are the draws'
// distributions.
//
// Plain views: `eval_clips` clips, evenly spaced over the video from its first frame to its last,
// the shorter side resized, the centre cut out.
//
// A video of fewer than frames * stride frames is a BadSample of kind "too_short". Frames are made
// views of as they are decoded, so memory is that of one frame (data/video_file.h). Any thread.
#pragma once

#include "data/dataset.h"
#include "data/options.h"
#include "data/video_file.h"
#include "data/view_maker.h"

#include <cstdint>
#include <memory>

namespace cltrain {

struct ClipOptions {
  int64_t frames = 32;  ///< 1 to kMostClipFrames
  int64_t stride = 1;
  int64_t eval_clips = 1;
};

/// A set whose samples are videos.
class VideoSet : public Dataset {
 public:
  explicit VideoSet(const ClipOptions& clips) : clips_(clips) {}

  virtual std::unique_ptr<VideoFile> open(int64_t position) const = 0;

  /// The frame in the middle.
  Image image(int64_t position) const override;
  std::unique_ptr<ViewMaker> views(const AugmentOptions& options) const override;

 private:
  const ClipOptions clips_;
};

/// [3, T, S, S].
ViewShape clip_shape(const ClipOptions& clips, const AugmentOptions& options);

}  // namespace cltrain
