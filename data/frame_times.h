// When the frames of a video are shown, and which of them stand for it at an even rate.
//
// A clip is taken by time, not by counting frames: the video is cut into slots, as many as it has
// frames and each as long as its average frame period (time from the first frame to the last, over
// the frames between). Slot s shows the last frame whose time, rounded to slots, is s or less: the
// rule of FFmpeg's `fps` filter. At a constant rate slot s is frame s, also where the container
// rounds its time stamps; at a variable one frames that come fast are skipped, and one that stays
// is repeated. A stride of n takes every n-th slot.
//
// Pure; any thread. Times are in ticks of the stream.
#pragma once

#include <cstdint>
#include <vector>

namespace cltrain {

class FrameTimes {
 public:
  /// `times` in any order, at least one; frames with equal times count once.
  explicit FrameTimes(std::vector<int64_t> times);

  /// Frames of the video, and slots.
  int64_t count() const { return static_cast<int64_t>(times_.size()); }
  /// The time of the frame shown in `slot`, 0 .. count() - 1.
  int64_t shown_in(int64_t slot) const;

 private:
  std::vector<int64_t> times_;  // rising
};

/// Starts of `clips` clips, evenly spaced: the first at 0, the last at starts - 1, one alone in the
/// middle. Requires starts >= 1, clips >= 1.
std::vector<int64_t> spread_starts(int64_t starts, int64_t clips);

}  // namespace cltrain
