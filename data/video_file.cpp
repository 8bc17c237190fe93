#include "data/video_file.h"

#include "data/dataset.h"
#include "data/exif.h"
#include "data/files.h"

#include <algorithm>
#include <new>
#include <utility>

namespace cltrain {
namespace {

/// Larger time stamps are junk, and could not be subtracted safely.
constexpr int64_t kLargestTime = int64_t{1} << 60;

[[noreturn]] void fail(const std::string& name, const char* kind, const std::string& what) {
  throw BadSample(kind, name + ": " + what + ": remove the file or replace it");
}

template <class Object>
FfmpegOwned<Object> owned(const Ffmpeg& ffmpeg, Object* object) {
  if (!object) throw std::bad_alloc();
  return {object, {&ffmpeg}};
}

}  // namespace

VideoFile::VideoFile(const Ffmpeg& ffmpeg, const std::filesystem::path& path)
    : ffmpeg_(ffmpeg),
      name_(path.string()),
      bytes_(read_sample(path, kLargestVideo)),
      stream_(std::make_unique<VideoStream>(ffmpeg, bytes_, name_)),
      packet_(owned(ffmpeg, ffmpeg.av_packet_alloc())),
      frame_(owned(ffmpeg, ffmpeg.av_frame_alloc())),
      held_(owned(ffmpeg, ffmpeg.av_frame_alloc())),
      decoder_(owned(ffmpeg, ffmpeg.avcodec_alloc_context3(&stream_->codec()))),
      converter_(ffmpeg) {
  index_packets();
  height_ = stream_->parameters().height;
  width_ = stream_->parameters().width;
  if (swaps_sides(stream_->orientation())) std::swap(height_, width_);
  decoder_->thread_count = 1;  // the loader's workers are the parallelism
  decoder_->flags |= AV_CODEC_FLAG_BITEXACT;
  decoder_->pkt_timebase = stream_->time_base();
  const int copied = ffmpeg_.avcodec_parameters_to_context(decoder_.get(), &stream_->parameters());
  const int code =
      copied < 0 ? copied : ffmpeg_.avcodec_open2(decoder_.get(), &stream_->codec(), nullptr);
  if (code < 0)
    fail(name_, "unsupported",
         std::string("the decoder of ") + stream_->codec().name + " refuses it (" +
             ffmpeg_.error_text(code) + ")");
}

void VideoFile::index_packets() {
  std::vector<int64_t> times;
  while (stream_->next(*packet_)) {
    const int64_t time = packet_->pts;
    if (time == AV_NOPTS_VALUE)
      throw BadSample("unsupported", name_ +
                                         ": frames without time stamps: write it anew "
                                         "(ffmpeg -i IN OUT.mp4) or remove it");
    if (std::abs(time) > kLargestTime) fail(name_, "damaged", "time stamps that make no sense");
    if (packet_->flags & AV_PKT_FLAG_KEY)
      keys_.push_back({time, packet_->dts == AV_NOPTS_VALUE ? time : packet_->dts});
    if (packet_->flags & AV_PKT_FLAG_DISCARD) continue;  // decoded, but not shown
    times.push_back(time);
    if (static_cast<int64_t>(times.size()) > kMostFrames)
      fail(name_, "too_large", "more than " + std::to_string(kMostFrames) + " frames");
  }
  if (times.empty()) fail(name_, "damaged", "a video without frames");
  times_.emplace(std::move(times));
  std::sort(keys_.begin(), keys_.end(),
            [](const Key& left, const Key& right) { return left.time < right.time; });
}

/// The last key frame that is shown at `time` or before.
const VideoFile::Key* VideoFile::key_before(int64_t time) const {
  const auto after = std::partition_point(keys_.begin(), keys_.end(),
                                          [&](const Key& key) { return key.time <= time; });
  return after == keys_.begin() ? nullptr : &*std::prev(after);
}

void VideoFile::read(std::span<const int64_t> slots, const Visit& visit) {
  std::vector<int64_t> times;
  for (const int64_t slot : slots) times.push_back(times_->shown_in(slot));
  // Frames that lie behind another key frame than the one before them are decoded from there.
  for (size_t begin = 0; begin < times.size();) {
    size_t end = begin + 1;
    const auto goes_on = [&] {
      const Key* key = key_before(times[end]);
      return !key || key->time <= times[end - 1];
    };
    while (end < times.size() && goes_on()) ++end;
    Wanted wanted{times, visit, begin, end};
    bool complete = false;
    try {
      complete = decode(wanted, From::kKey);
    } catch (const BadSample&) {
      // Damage between the key frame and those wanted, or frames that build on what is before it:
      // the beginning tells.
    }
    if (!complete) decode(wanted, From::kStart);
    begin = end;
  }
}

/// Visits the frames that are wanted from wanted.next on. False where decoding from the key frame
/// does not give just these.
bool VideoFile::decode(Wanted& wanted, From from) {
  int64_t ignored_before = -kLargestTime;
  if (from == From::kKey) {
    const Key* key = key_before(wanted.time());
    if (!key || !stream_->seek(key->decoding_time)) return false;
    ignored_before = key->time;  // frames that need what is before the key frame
  } else {
    stream_ = std::make_unique<VideoStream>(ffmpeg_, bytes_, name_);
  }
  ffmpeg_.avcodec_flush_buffers(decoder_.get());
  ended_ = false;
  held_time_.reset();
  while (!wanted.done() && receive(wanted, from))
    if (!take(wanted, from, ignored_before)) return false;
  while (!wanted.done())
    if (!give_held(wanted, from)) return false;
  return true;
}

/// Decodes the next frame into frame_; false at the end.
bool VideoFile::receive(const Wanted& wanted, From from) {
  for (;;) {
    int code = ffmpeg_.avcodec_receive_frame(decoder_.get(), frame_.get());
    if (code >= 0) return true;
    if (code == AVERROR_EOF) return false;
    if (code == AVERROR(EAGAIN) && !ended_) {
      ended_ = !stream_->next(*packet_);
      // From a key frame just the frames wanted are taken: others that no frame builds on are left
      // out.
      const bool needed = from == From::kStart || ended_ || wanted.has(packet_->pts);
      decoder_->skip_frame = needed ? AVDISCARD_DEFAULT : AVDISCARD_NONREF;
      code = ffmpeg_.avcodec_send_packet(decoder_.get(), ended_ ? nullptr : packet_.get());
    }
    if (code == AVERROR(ENOMEM)) throw std::bad_alloc();
    if (code < 0)
      fail(name_, "damaged", "a frame cannot be decoded (" + ffmpeg_.error_text(code) + ")");
  }
}

/// Looks at frame_, and visits what is known then: a frame stands until the next one is shown.
bool VideoFile::take(Wanted& wanted, From from, int64_t ignored_before) {
  const int64_t time = frame_->best_effort_timestamp;
  if (time == AV_NOPTS_VALUE) fail(name_, "damaged", "a frame without a time stamp");
  if (time < ignored_before) return true;
  if (frame_->decode_error_flags != 0 || (frame_->flags & AV_FRAME_FLAG_CORRUPT))
    fail(name_, "damaged", "a frame is corrupt");
  while (!wanted.done() && wanted.time() < time)
    if (!give_held(wanted, from)) return false;
  ffmpeg_.av_frame_unref(held_.get());
  ffmpeg_.av_frame_move_ref(held_.get(), frame_.get());
  held_time_ = time;
  converted_ = false;
  while (!wanted.done() && wanted.time() == time)
    if (!give_held(wanted, from)) return false;
  return true;
}

/// Visits the next wanted frame with held_. From the beginning this is right whatever its time:
/// some packets hold no frame that is shown, and the one before stays.
bool VideoFile::give_held(Wanted& wanted, From from) {
  if (from == From::kKey && held_time_ != wanted.time()) return false;
  if (!held_time_) fail(name_, "damaged", "its first frames cannot be decoded");
  wanted.visit(wanted.next, held_picture());
  ++wanted.next;  // not before: where the picture fails, the frame is still wanted
  return true;
}

const Picture& VideoFile::held_picture() {
  if (converted_) return picture_;
  const AVFrame& frame = *held_;
  const int64_t height = stream_->parameters().height, width = stream_->parameters().width;
  if (frame.height != height || frame.width != width)
    fail(name_, "unsupported",
         "a frame of " + std::to_string(frame.width) + " x " + std::to_string(frame.height) +
             " pixels in a video of " + std::to_string(width) + " x " + std::to_string(height));
  if (!converter_.convert(frame, stored_))
    fail(name_, "unsupported", "pixel format " + std::to_string(frame.format) + " is not known");
  picture_ = {.pixels = stored_.data(), .height = height_, .width = width_};
  if (stream_->orientation() != 1) {
    upright_.resize(static_cast<size_t>(3 * height * width));
    turn_upright(stored_.data(), height, width, stream_->orientation(), upright_.data());
    picture_.pixels = upright_.data();
  }
  converted_ = true;
  return picture_;
}

}  // namespace cltrain
