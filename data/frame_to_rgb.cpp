#include "data/frame_to_rgb.h"

#include <optional>

namespace cltrain {
namespace {

constexpr int kConversion =
    SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_BITEXACT;
/// libswscale may write beyond the end of the last row.
constexpr int64_t kWrittenBeyond = 64;

/// How a pixel format stores chroma, if it is planar 8-bit YUV.
struct PlanarYuv {
  bool half_width, half_height, full_range;
};

std::optional<PlanarYuv> planar_yuv(int format) {
  switch (format) {
    case AV_PIX_FMT_YUV420P:
      return PlanarYuv{true, true, false};
    case AV_PIX_FMT_YUVJ420P:
      return PlanarYuv{true, true, true};
    case AV_PIX_FMT_YUV422P:
      return PlanarYuv{true, false, false};
    case AV_PIX_FMT_YUVJ422P:
      return PlanarYuv{true, false, true};
    case AV_PIX_FMT_YUV444P:
      return PlanarYuv{false, false, false};
    case AV_PIX_FMT_YUVJ444P:
      return PlanarYuv{false, false, true};
    default:
      return std::nullopt;
  }
}

/// Kr and Kb, and the place of chroma samples; false for those that data/yuv.h has not.
bool set_colours(const AVFrame& frame, YuvFrame& yuv) {
  switch (frame.colorspace) {
    case AVCOL_SPC_UNSPECIFIED:
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M:
      yuv.red = 0.299, yuv.blue = 0.114;
      break;
    case AVCOL_SPC_BT709:
      yuv.red = 0.2126, yuv.blue = 0.0722;
      break;
    case AVCOL_SPC_BT2020_NCL:
      yuv.red = 0.2627, yuv.blue = 0.0593;
      break;
    default:
      return false;
  }
  switch (frame.chroma_location) {
    case AVCHROMA_LOC_UNSPECIFIED:
    case AVCHROMA_LOC_LEFT:
      yuv.between_columns = false, yuv.between_rows = true;
      return true;
    case AVCHROMA_LOC_CENTER:
      yuv.between_columns = yuv.between_rows = true;
      return true;
    case AVCHROMA_LOC_TOPLEFT:
      yuv.between_columns = yuv.between_rows = false;
      return true;
    default:
      return false;
  }
}

}  // namespace

bool FrameConverter::convert(const AVFrame& frame, std::vector<uint8_t>& rgb) {
  const auto pixels = int64_t{frame.height} * frame.width;
  rgb.resize(static_cast<size_t>(3 * pixels + kWrittenBeyond));
  YuvFrame yuv{};
  const auto stored = planar_yuv(frame.format);
  // A negative distance (a picture upside down) would be right too, but is not worth a test.
  if (!stored || !set_colours(frame, yuv) || frame.linesize[0] < frame.width)
    return by_swscale(frame, rgb.data());
  yuv.y = {frame.data[0], frame.linesize[0]};
  yuv.u = {frame.data[1], frame.linesize[1]};
  yuv.v = {frame.data[2], frame.linesize[2]};
  yuv.height = frame.height;
  yuv.width = frame.width;
  yuv.half_width = stored->half_width;
  yuv.half_height = stored->half_height;
  yuv.full_range = stored->full_range || frame.color_range == AVCOL_RANGE_JPEG;
  yuv_to_rgb(yuv, scratch_, rgb.data());
  return true;
}

bool FrameConverter::by_swscale(const AVFrame& frame, uint8_t* rgb) {
  scaler_.reset(ffmpeg_.sws_getCachedContext(
      scaler_.release(), frame.width, frame.height, static_cast<AVPixelFormat>(frame.format),
      frame.width, frame.height, AV_PIX_FMT_RGB24, kConversion, nullptr, nullptr, nullptr));
  if (!scaler_) return false;
  // Of no consequence where the format is not YUV. Formats with full range in their name keep it.
  ffmpeg_.sws_setColorspaceDetails(scaler_.get(), ffmpeg_.sws_getCoefficients(frame.colorspace),
                                   planar_yuv(frame.format).value_or(PlanarYuv{}).full_range ||
                                       frame.color_range == AVCOL_RANGE_JPEG,
                                   ffmpeg_.sws_getCoefficients(SWS_CS_DEFAULT), /*dstRange=*/1, 0,
                                   1 << 16, 1 << 16);
  uint8_t* const rows[] = {rgb, nullptr, nullptr, nullptr};
  const int distances[] = {3 * frame.width, 0, 0, 0};
  ffmpeg_.sws_scale(scaler_.get(), frame.data, frame.linesize, 0, frame.height, rows, distances);
  return true;
}

}  // namespace cltrain
