// Planar 8-bit YUV to interleaved 8-bit RGB: what most videos are stored as.
//
// libswscale either repeats each chroma sample over the pixels it stands for, or interpolates them,
// slowly, as if they lay between the columns, where most videos have them on the left ones. This
// interpolates linearly from where the samples lie, in whole numbers, so that results have the same
// bits on every processor. They are within one level of the formula in real numbers.
//
// Source: ITU-T H.273, 8.3 (matrices, ranges) and H.264, figure E-1 (places of chroma samples).
// Pure; any thread.
#pragma once

#include <cstdint>
#include <vector>

namespace cltrain {

struct YuvFrame {
  struct Plane {
    const uint8_t* levels;
    int64_t distance;  ///< bytes from row to row
  };
  Plane y, u, v;
  int64_t height, width;               ///< pixels, of y
  bool half_width, half_height;        ///< of u and v: (n + 1) / 2 of the pixels
  bool between_columns, between_rows;  ///< where halved: a sample lies between two pixels, not on
                                       ///< the first of them
  bool full_range;                     ///< 0 to 255, not 16 to 235 and 240
  double red, blue;                    ///< weights of R and B in Y: Kr and Kb
};

/// Memory that is kept from frame to frame. It carries no state.
struct YuvScratch {
  std::vector<int16_t> mixed, u, v;
};

/// Writes [height, width, 3].
void yuv_to_rgb(const YuvFrame& frame, YuvScratch& scratch, uint8_t* rgb);

}  // namespace cltrain
