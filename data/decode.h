// JPEG and PNG to 8-bit RGB.
//
// JPEG: grey, YCbCr, RGB, CMYK and YCCK (Adobe's are inverted), any sampling, baseline and
// progressive, by libjpeg at full size. PNG: every colour type and depth; 16 bits are scaled to 8;
// transparency is composited on white. Colour profiles, gamma and EXIF rotation are not applied.
//
// Pure functions, any thread. Damaged, truncated and garbage input throws DataError
// (data/dataset.h) that starts with `name`; it never crashes. Declared sizes above kLargestImage
// pixels are refused before anything is allocated. A JPEG whose picture data is incomplete is an
// error; junk that costs no pixel (extra bytes between markers) is not.
#pragma once

#include "data/dataset.h"

#include <cstdint>
#include <span>
#include <string>

namespace cltrain {

constexpr uint64_t kLargestImage = uint64_t{1} << 28;

/// Chooses by the first bytes, not by the name.
Image decode_image(std::span<const uint8_t> bytes, const std::string& name);

Image decode_jpeg(std::span<const uint8_t> bytes, const std::string& name);
Image decode_png(std::span<const uint8_t> bytes, const std::string& name);

/// Throws DataError unless 1 <= height * width <= kLargestImage.
void check_extent(uint64_t height, uint64_t width, const std::string& name);

}  // namespace cltrain
