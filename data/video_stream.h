// The compressed frames of one video, out of a file in memory: container and stream, not yet
// pixels.
//
// The format is found by what the file holds, not by its name. Nothing but the given bytes is read:
// formats that refer to other files or to the network cannot open them. One thread an object; any
// thread. Throws BadSample, with a message that begins with the name, of one of these kinds.
//
// "unsupported": no format that FFmpeg knows, no video in it (cover pictures do not count), a codec
// without decoder, turned by other than quarters.
//
// "damaged": what FFmpeg cannot read to its end, truncated or corrupt, a gap in a broadcast. A
// stream without index or size (MPEG-TS, say) that is cut between two frames is just a shorter one.
//
// "too_large": a declared size above kLargestImage pixels.
#pragma once

#include "data/ffmpeg.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace cltrain {

/// Frees what FFmpeg allocated, for std::unique_ptr.
struct FfmpegRelease {
  const Ffmpeg* ffmpeg = nullptr;
  void operator()(AVPacket* packet) const { ffmpeg->av_packet_free(&packet); }
  void operator()(AVFrame* frame) const { ffmpeg->av_frame_free(&frame); }
  void operator()(AVCodecContext* codec) const { ffmpeg->avcodec_free_context(&codec); }
  void operator()(AVFormatContext* format) const { ffmpeg->avformat_close_input(&format); }
  void operator()(SwsContext* scaler) const { ffmpeg->sws_freeContext(scaler); }
  void operator()(AVIOContext* io) const {
    ffmpeg->av_free(io->buffer);  // FFmpeg may have replaced the one it was given
    ffmpeg->avio_context_free(&io);
  }
};
template <class Object>
using FfmpegOwned = std::unique_ptr<Object, FfmpegRelease>;

class VideoStream {
 public:
  /// `bytes` must outlive the object.
  VideoStream(const Ffmpeg& ffmpeg, std::span<const uint8_t> bytes, std::string name);
  ~VideoStream();
  VideoStream(const VideoStream&) = delete;
  VideoStream& operator=(const VideoStream&) = delete;

  const AVCodecParameters& parameters() const { return *stream_->codecpar; }
  const AVCodec& codec() const { return *codec_; }
  AVRational time_base() const { return stream_->time_base; }
  /// How the stored frames are put upright, as in EXIF (data/exif.h): of the display matrix.
  int orientation() const { return orientation_; }

  /// The next packet of the video; false at its end.
  bool next(AVPacket& packet);
  /// The next packet will be the key frame of this decoding time, if the format can do that.
  bool seek(int64_t decoding_time);

 private:
  struct Memory {
    std::span<const uint8_t> bytes;
    size_t at = 0;
  };
  static int read(void* memory, uint8_t* out, int size);
  static int64_t move(void* memory, int64_t offset, int whence);

  void open();
  void choose_stream();
  void read_orientation();
  [[noreturn]] void fail(const char* kind, const std::string& what) const;

  const Ffmpeg& ffmpeg_;
  Memory memory_;
  const std::string name_;
  FfmpegOwned<AVIOContext> io_;
  FfmpegOwned<AVFormatContext> format_;  // closed before io_ goes
  AVStream* stream_ = nullptr;
  const AVCodec* codec_ = nullptr;
  int orientation_ = 1;
};

}  // namespace cltrain
