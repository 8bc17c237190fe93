// Pictures as decoders hand them to the views, and the boxes cut from them.
// Plain values; nothing here owns pixels.
#pragma once

#include "data/dataset.h"

#include <cstdint>

namespace cltrain {

/// In pixels of the whole picture at its full size.
struct Box {
  int64_t top, left, height, width;
};

/// A box between pixels: (0, 0) is the corner of the first pixel, not its
/// centre.
struct RealBox {
  double top, left, height, width;
};

/// 8-bit RGB, interleaved, of a whole picture or a part of one, at its full
/// size or reduced. Pixel (y, x) of `pixels` covers rows (top + y) to (top + y
/// + 1) and the like columns of the picture once it is reduced by `scale`.
struct Picture {
  const uint8_t* pixels = nullptr;  ///< [height, width, 3]
  int64_t height = 0, width = 0;
  double top = 0, left = 0;
  double scale = 1;  ///< 1, 1/2, 1/4 or 1/8

  /// Where `box` lies in `pixels`; exact, as scales are powers of two.
  RealBox place(const Box& box) const {
    return {static_cast<double>(box.top) * scale - top,
            static_cast<double>(box.left) * scale - left, static_cast<double>(box.height) * scale,
            static_cast<double>(box.width) * scale};
  }
};

inline Picture whole_picture(const Image& image) {
  return {.pixels = image.pixels.data(), .height = image.height, .width = image.width};
}

}  // namespace cltrain
