// FFmpeg's libraries, which decode videos. They are loaded when a set of videos is opened, not with
// the program: they bring some 130 other libraries with them (160 MB, 25 ms), which a run on
// pictures, and the bundle on a machine without FFmpeg, should not need.
//
// The headers of the build say which major versions are asked for (FFmpeg 5 or 6). What FFmpeg and
// its codecs have to say is not printed anywhere; errors come back as codes.
#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libswscale/swscale.h>
}

#include <memory>
#include <string>

// Functions of each library that cltrain calls.
// clang-format off
#define CLTRAIN_AVUTIL_FUNCTIONS(F) \
  F(av_frame_alloc) F(av_frame_free) F(av_frame_move_ref) F(av_frame_unref) F(av_free) \
  F(av_log_set_callback) F(av_malloc) F(av_strerror)
#define CLTRAIN_AVCODEC_FUNCTIONS(F) \
  F(av_packet_alloc) F(av_packet_free) F(av_packet_unref) F(avcodec_alloc_context3) \
  F(avcodec_flush_buffers) F(avcodec_free_context) F(avcodec_open2) \
  F(avcodec_parameters_to_context) F(avcodec_receive_frame) F(avcodec_send_packet)
#define CLTRAIN_AVFORMAT_FUNCTIONS(F) \
  F(av_find_best_stream) F(av_probe_input_buffer2) F(av_read_frame) F(av_seek_frame) \
  F(av_stream_get_side_data) F(avformat_alloc_context) F(avformat_close_input) \
  F(avformat_find_stream_info) F(avformat_open_input) F(avio_alloc_context) \
  F(avio_context_free)
#define CLTRAIN_SWSCALE_FUNCTIONS(F) \
  F(sws_freeContext) F(sws_getCachedContext) F(sws_getCoefficients) F(sws_scale) \
  F(sws_setColorspaceDetails)
// clang-format on

namespace cltrain {

/// FFmpeg's functions by their own names. Thread-safe once loaded.
struct Ffmpeg {
#define CLTRAIN_FUNCTION(name) decltype(&::name) name = nullptr;
  CLTRAIN_AVUTIL_FUNCTIONS(CLTRAIN_FUNCTION)
  CLTRAIN_AVCODEC_FUNCTIONS(CLTRAIN_FUNCTION)
  CLTRAIN_AVFORMAT_FUNCTIONS(CLTRAIN_FUNCTION)
  CLTRAIN_SWSCALE_FUNCTIONS(CLTRAIN_FUNCTION)
#undef CLTRAIN_FUNCTION

  std::string error_text(int code) const;
};

/// Throws DataError, which says what to install, where a library or function is missing. They stay
/// loaded to the end of the process. Main thread.
std::shared_ptr<const Ffmpeg> load_ffmpeg();

}  // namespace cltrain
