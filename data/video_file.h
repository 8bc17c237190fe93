// The frames of one video file, upright, 8-bit RGB: any container and codec that FFmpeg reads.
//
// Opening reads the file into memory (up to kLargestVideo bytes) and its packets once, to know when
// every frame is shown (data/frame_times.h). Frames are then decoded from the key frame before
// them, one at a time, so memory is that of the file, of one picture and of what the decoder keeps.
// Where a key frame does not give the frames that follow it exactly (open groups of pictures,
// gradual refresh), decoding starts from the beginning: what is decoded never depends on where
// from.
//
// The display matrix is honoured (quarter turns and mirrors). Pixels that are not square stay so,
// and frames are taken as they are stored, interlaced ones too. Colours: data/frame_to_rgb.h.
//
// One thread an object, and one decoder thread; any thread. Throws BadSample: see
// data/video_stream.h; also "unreadable", "damaged" where a frame that is asked for, or one that it
// builds on, is damaged (damage elsewhere is not noticed), "unsupported" where the frames change
// their size.
#pragma once

#include "data/frame_times.h"
#include "data/frame_to_rgb.h"
#include "data/picture.h"
#include "data/video_stream.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cltrain {

constexpr uint64_t kLargestVideo = uint64_t{1} << 28;  ///< bytes of a file
constexpr int64_t kMostFrames = int64_t{1} << 22;      ///< of a file

class VideoFile {
 public:
  /// `ffmpeg` must outlive the object.
  VideoFile(const Ffmpeg& ffmpeg, const std::filesystem::path& path);

  const std::string& name() const { return name_; }
  /// Frames, and slots of the average frame period.
  int64_t frames() const { return times_->count(); }
  /// Of the upright frames, pixels.
  int64_t height() const { return height_; }
  int64_t width() const { return width_; }

  /// Takes the frame number i of those asked for; its pixels are there during the call.
  using Visit = std::function<void(size_t i, const Picture& frame)>;
  /// Calls `visit` once for each of `slots`, which do not fall, in their order, with the frame
  /// shown.
  void read(std::span<const int64_t> slots, const Visit& visit);

 private:
  struct Key {
    int64_t time, decoding_time;
  };
  /// Frames that are wanted, by the times at which they are shown.
  struct Wanted {
    std::span<const int64_t> times;
    const Visit& visit;
    size_t next, end;  ///< the first that has not been visited, and the one behind the last
    bool done() const { return next == end; }
    int64_t time() const { return times[next]; }
    bool has(int64_t time) const {
      return std::binary_search(times.begin() + static_cast<std::ptrdiff_t>(next),
                                times.begin() + static_cast<std::ptrdiff_t>(end), time);
    }
  };
  enum class From { kKey, kStart };

  void index_packets();
  const Key* key_before(int64_t time) const;
  bool decode(Wanted& wanted, From from);
  bool take(Wanted& wanted, From from, int64_t ignored_before);
  bool give_held(Wanted& wanted, From from);
  bool receive(const Wanted& wanted, From from);
  const Picture& held_picture();

  const Ffmpeg& ffmpeg_;
  const std::string name_;
  const std::vector<uint8_t> bytes_;
  std::unique_ptr<VideoStream> stream_;
  FfmpegOwned<AVPacket> packet_;
  FfmpegOwned<AVFrame> frame_, held_;  // just decoded; the last before it
  FfmpegOwned<AVCodecContext> decoder_;
  FrameConverter converter_;
  std::optional<FrameTimes> times_;
  std::vector<Key> keys_;  // by rising time
  int64_t height_ = 0, width_ = 0;
  bool ended_ = false;  // every packet is with the decoder
  std::optional<int64_t> held_time_;
  bool converted_ = false;  // picture_ is that of held_
  Picture picture_;
  std::vector<uint8_t> stored_, upright_;
};

}  // namespace cltrain
