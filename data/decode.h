// JPEG and PNG to 8-bit RGB, upright.
//
// JPEG: grey, YCbCr, RGB, CMYK and YCCK (Adobe's are inverted), any sampling,
// baseline and progressive, by libjpeg-turbo. PNG: every colour type and depth;
// 16 bits are scaled to 8; transparency is composited on white; of an
// animation, the picture that viewers without animation show. EXIF orientation
// (the JPEG's APP1 segment, the PNG's eXIf chunk) is applied: height and width
// are those of the upright picture. Colour profiles and gamma are not applied,
// nor is an orientation that stands only in XMP or in text chunks.
//
// Any thread; results depend on the arguments alone, for a part of a picture
// too: its pixels are those of the whole picture. Errors are BadSample
// (data/dataset.h) and start with `name`:
//   "damaged"      empty, truncated, corrupt: also a JPEG without an
//   end-of-image marker, and a
//                  file too short to hold the size it declares
//   "unsupported"  another format, which the message names, or a kind of JPEG
//   that libjpeg does not
//                  know; more than kMostScans scans
//   "too_large"    a declared size above kLargestImage pixels, refused before
//   any allocation
// Hostile input never crashes. Damage in rows of a JPEG that no view needs is
// not noticed; junk that costs no pixel (extra bytes between markers) is no
// error.
#pragma once

#include "data/dataset.h"
#include "data/picture.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace cltrain {

constexpr uint64_t kLargestImage = uint64_t{1} << 28;  ///< pixels
constexpr int kMostScans = 100;  ///< of a JPEG; usual progressive ones have 10

/// Memory that is kept from picture to picture; the last decoded one lies in
/// it.
struct DecodeScratch {
  std::vector<uint8_t> pixels, upright;
};

/// A file whose header has been read. `bytes` must outlive it.
class EncodedImage {
 public:
  virtual ~EncodedImage() = default;

  /// Of the upright picture, pixels.
  int64_t height() const { return height_; }
  int64_t width() const { return width_; }

  /// Decodes at least `part` of the upright picture; called once. `reduction`
  /// is 1, 2, 4 or 8: a JPEG is reduced by it inside its inverse transform,
  /// which saves time; a PNG never is (see Picture::scale). The result lies in
  /// `scratch` until its next use.
  virtual Picture decode(const Box& part, int64_t reduction, DecodeScratch& scratch) = 0;

 protected:
  /// Puts what was decoded of the stored picture upright; `pixels` of the
  /// region are in scratch.pixels.
  Picture upright(const Picture& stored, DecodeScratch& scratch) const;

  int64_t height_ = 0, width_ = 0;
  int64_t stored_height_ = 0, stored_width_ = 0;
  int orientation_ = 1;

  /// Sets all of the above; throws unless the size is allowed.
  void set_extent(uint64_t stored_height, uint64_t stored_width, int orientation,
                  const std::string& name);
};

/// Chooses by the first bytes, not by the name.
std::unique_ptr<EncodedImage> open_image(std::span<const uint8_t> bytes, const std::string& name);
std::unique_ptr<EncodedImage> open_jpeg(std::span<const uint8_t> bytes, const std::string& name);
std::unique_ptr<EncodedImage> open_png(std::span<const uint8_t> bytes, const std::string& name);

/// The whole picture at its full size.
Image decode_image(std::span<const uint8_t> bytes, const std::string& name);

}  // namespace cltrain
