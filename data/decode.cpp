#include "data/decode.h"

#include "data/exif.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace cltrain {
namespace {

struct Signature {
  size_t at;
  std::string_view bytes;
  const char* format;
};

using std::string_view_literals::operator""sv;

/// What people rename to .jpg, by the first bytes.
constexpr Signature kOthers[] = {
    {0, "GIF8"sv, "GIF"},
    {8, "WEBP"sv, "WebP"},
    {0, "BM"sv, "BMP"},
    {0, "II*\0"sv, "TIFF"},
    {0, "MM\0*"sv, "TIFF"},
    {4, "ftypavif"sv, "AVIF"},
    {4, "ftyp"sv, "HEIF or a video"},
    {0, "\0\0\0\x0CjP  "sv, "JPEG 2000"},
    {0, "\0\0\0\x0CJXL "sv, "JPEG XL"},
    {0, "\xFF\x0A"sv, "JPEG XL"},
    {0, "8BPS"sv, "Photoshop"},
    {0, "\0\0\x01\0"sv, "ICO"},
    {0, "%PDF"sv, "PDF"},
    {0, "\x1F\x8B"sv, "gzip"},
    {0, "PK\x03\x04"sv, "ZIP"},
    {0, "<"sv, "HTML or XML text"},
};

std::string format_of(std::span<const uint8_t> bytes) {
  for (const Signature& each : kOthers)
    if (bytes.size() >= each.at + each.bytes.size() &&
        std::memcmp(bytes.data() + each.at, each.bytes.data(), each.bytes.size()) == 0)
      return each.format;
  return "an unknown format";
}

}  // namespace

void EncodedImage::set_extent(uint64_t stored_height, uint64_t stored_width, int orientation,
                              const std::string& name) {
  if (stored_height < 1 || stored_width < 1 || stored_width > kLargestImage / stored_height)
    throw BadSample(stored_height < 1 || stored_width < 1 ? "damaged" : "too_large",
                    name + ": declares " + std::to_string(stored_width) + " x " +
                        std::to_string(stored_height) + " pixels, allowed are 1 to " +
                        std::to_string(kLargestImage) + " in all: remove the file or replace it");
  orientation_ = orientation;
  stored_height_ = height_ = static_cast<int64_t>(stored_height);
  stored_width_ = width_ = static_cast<int64_t>(stored_width);
  if (swaps_sides(orientation)) std::swap(height_, width_);
}

Picture EncodedImage::upright(const Picture& stored, DecodeScratch& scratch) const {
  if (orientation_ == 1) return stored;
  scratch.upright.resize(static_cast<size_t>(3 * stored.height * stored.width));
  turn_upright(stored.pixels, stored.height, stored.width, orientation_, scratch.upright.data());
  // The reduced sides may not be whole, so a mirrored region may start between
  // pixels.
  const double height = static_cast<double>(stored_height_) * stored.scale;
  const double width = static_cast<double>(stored_width_) * stored.scale;
  const MirroredSides mirrored = mirrored_sides(orientation_);
  Picture turned = stored;
  turned.pixels = scratch.upright.data();
  if (mirrored.rows) turned.top = height - stored.top - static_cast<double>(stored.height);
  if (mirrored.columns) turned.left = width - stored.left - static_cast<double>(stored.width);
  if (swaps_sides(orientation_)) {
    std::swap(turned.height, turned.width);
    std::swap(turned.top, turned.left);
  }
  return turned;
}

std::unique_ptr<EncodedImage> open_image(std::span<const uint8_t> bytes, const std::string& name) {
  if (bytes.size() < 12)
    throw BadSample("damaged", name + ": " +
                                   (bytes.empty() ? "empty file"
                                                  : std::to_string(bytes.size()) + " bytes only") +
                                   ": remove the file or replace it");
  if (bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF) return open_jpeg(bytes, name);
  if (std::memcmp(bytes.data(), "\x89PNG", 4) == 0) return open_png(bytes, name);
  throw BadSample("unsupported", name + ": neither JPEG nor PNG but " + format_of(bytes) + " (" +
                                     std::to_string(bytes.size()) +
                                     " bytes): convert the file or remove it");
}

Image decode_image(std::span<const uint8_t> bytes, const std::string& name) {
  const std::unique_ptr<EncodedImage> file = open_image(bytes, name);
  DecodeScratch scratch;
  const Picture picture = file->decode({0, 0, file->height(), file->width()}, 1, scratch);
  Image image{picture.height, picture.width, {}};
  std::vector<uint8_t>& pixels =
      picture.pixels == scratch.pixels.data() ? scratch.pixels : scratch.upright;
  image.pixels = std::move(pixels);
  image.pixels.resize(static_cast<size_t>(3 * image.height * image.width));
  return image;
}

}  // namespace cltrain
