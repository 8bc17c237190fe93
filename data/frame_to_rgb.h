// Decoded frames to interleaved 8-bit RGB: planar 8-bit YUV by data/yuv.h, everything else (more
// bits, grey, RGB, palettes) by libswscale with bicubic chroma, accurate rounding and its bitexact
// code. Matrix, range and place of chroma are those that the frame declares; BT.601, limited range
// and the left column where it declares none. Pixels do not depend on the processor.
//
// One thread an object; any thread.
#pragma once

#include "data/video_stream.h"
#include "data/yuv.h"

#include <cstdint>
#include <vector>

namespace cltrain {

class FrameConverter {
 public:
  explicit FrameConverter(const Ffmpeg& ffmpeg) : ffmpeg_(ffmpeg), scaler_(nullptr, {&ffmpeg}) {}

  /// Writes [frame.height, frame.width, 3] to `rgb`, which it makes long enough. False for a pixel
  /// format that libswscale does not know.
  bool convert(const AVFrame& frame, std::vector<uint8_t>& rgb);

 private:
  bool by_swscale(const AVFrame& frame, uint8_t* rgb);

  const Ffmpeg& ffmpeg_;
  FfmpegOwned<SwsContext> scaler_;
  YuvScratch scratch_;
};

}  // namespace cltrain
