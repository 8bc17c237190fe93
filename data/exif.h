// EXIF orientation: how a camera was held. Everything in it is read as hostile:
// whatever is malformed counts as absent (orientation 1), as viewers do.
//
// Pure functions, any thread, no errors. Source: CIPA DC-008 (Exif 2.32), tag
// 0x0112; the PNG specification's eXIf chunk.
#pragma once

#include "data/picture.h"

#include <cstdint>
#include <span>

namespace cltrain {

/// 1 to 8, of a block that starts with its TIFF header ("II*\0" or "MM\0*"); 1
/// if there is none.
int exif_orientation(std::span<const uint8_t> tiff);

/// The block in the first APP1 segment of that kind of a JPEG file; empty if
/// there is none.
std::span<const uint8_t> exif_of_jpeg(std::span<const uint8_t> file);

/// The block in the eXIf chunk of a PNG file, before or after the pixels; empty
/// if there is none.
std::span<const uint8_t> exif_of_png(std::span<const uint8_t> file);

/// Whether rows and columns change places: orientations 5 to 8.
inline bool swaps_sides(int orientation) {
  return orientation >= 5;
}

/// Which sides of the stored picture are mirrored to put it upright, before any
/// exchange of rows and columns.
struct MirroredSides {
  bool columns;  ///< left to right
  bool rows;     ///< top to bottom
};
MirroredSides mirrored_sides(int orientation);

/// Where `box` of the upright picture lies in the stored one, which has the
/// given sides.
Box stored_box(const Box& box, int orientation, int64_t stored_height, int64_t stored_width);

/// Writes the upright form of `stored`, [height, width, 3], to `upright`; the
/// two do not overlap.
void turn_upright(const uint8_t* stored, int64_t height, int64_t width, int orientation,
                  uint8_t* upright);

}  // namespace cltrain
