#include "data/exif.h"

#include <cstring>

namespace cltrain {
namespace {

constexpr uint16_t kOrientationTag = 0x0112, kShort = 3;

/// Numbers at offsets of a TIFF block. Callers have checked that they lie
/// inside.
struct Tiff {
  std::span<const uint8_t> bytes;
  bool big_endian;

  uint32_t number(size_t at, size_t count) const {
    uint32_t value = 0;
    for (size_t i = 0; i < count; ++i)
      value = value << 8 | bytes[at + (big_endian ? i : count - 1 - i)];
    return value;
  }
};

uint32_t big_endian_at(std::span<const uint8_t> bytes, size_t at, size_t count) {
  return Tiff{bytes, true}.number(at, count);
}

}  // namespace

MirroredSides mirrored_sides(int orientation) {
  constexpr MirroredSides kSides[] = {{false, false}, {true, false}, {true, true}, {false, true},
                                      {false, false}, {false, true}, {true, true}, {true, false}};
  return kSides[orientation - 1];
}

int exif_orientation(std::span<const uint8_t> tiff) {
  if (tiff.size() < 8) return 1;
  const bool intel = std::memcmp(tiff.data(), "II*\0", 4) == 0;
  if (!intel && std::memcmp(tiff.data(), "MM\0*", 4) != 0) return 1;
  const Tiff block{tiff, !intel};
  const size_t directory = block.number(4, 4);
  if (directory < 8 || directory > tiff.size() - 2) return 1;
  const size_t entries = block.number(directory, 2);
  for (size_t entry = 0; entry < entries; ++entry) {
    const size_t at = directory + 2 + 12 * entry;
    if (at + 12 > tiff.size()) return 1;
    if (block.number(at, 2) != kOrientationTag) continue;
    if (block.number(at + 2, 2) != kShort || block.number(at + 4, 4) != 1) return 1;
    const uint32_t value = block.number(at + 8, 2);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

std::span<const uint8_t> exif_of_jpeg(std::span<const uint8_t> file) {
  constexpr uint8_t kApp1 = 0xE1, kStartOfScan = 0xDA, kEndOfImage = 0xD9;
  constexpr char kName[] = "Exif\0";  // and the zero that ends the literal: six bytes
  size_t at = 2;
  while (at + 4 <= file.size() && file[at] == 0xFF) {
    const uint8_t marker = file[at + 1];
    if (marker == 0xFF) {  // padding
      ++at;
      continue;
    }
    if (marker == kStartOfScan || marker == kEndOfImage) break;
    const size_t length = big_endian_at(file, at + 2, 2);
    if (length < 2 || length > file.size() - at - 2) break;
    const auto segment = file.subspan(at + 4, length - 2);
    if (marker == kApp1 && segment.size() >= sizeof(kName) &&
        std::memcmp(segment.data(), kName, sizeof(kName)) == 0)
      return segment.subspan(sizeof(kName));
    at += 2 + length;
  }
  return {};
}

std::span<const uint8_t> exif_of_png(std::span<const uint8_t> file) {
  size_t at = 8;
  while (at + 12 <= file.size()) {
    const size_t length = big_endian_at(file, at, 4);
    if (length > file.size() - at - 12) break;
    if (std::memcmp(file.data() + at + 4, "eXIf", 4) == 0) return file.subspan(at + 8, length);
    at += 12 + length;
  }
  return {};
}

Box stored_box(const Box& box, int orientation, int64_t stored_height, int64_t stored_width) {
  Box stored = box;
  if (swaps_sides(orientation)) stored = {box.left, box.top, box.width, box.height};
  const MirroredSides mirrored = mirrored_sides(orientation);
  if (mirrored.columns) stored.left = stored_width - stored.left - stored.width;
  if (mirrored.rows) stored.top = stored_height - stored.top - stored.height;
  return stored;
}

void turn_upright(const uint8_t* stored, int64_t height, int64_t width, int orientation,
                  uint8_t* upright) {
  const MirroredSides mirrored = mirrored_sides(orientation);
  const bool swap = swaps_sides(orientation);
  const int64_t down = swap ? 1 : width,
                across = swap ? height : 1;  // steps of the target, pixels
  for (int64_t y = 0; y < height; ++y) {
    const uint8_t* pixel = stored + (mirrored.rows ? height - 1 - y : y) * width * 3;
    for (int64_t x = 0; x < width; ++x) {
      const uint8_t* from = pixel + (mirrored.columns ? width - 1 - x : x) * 3;
      uint8_t* to = upright + (y * down + x * across) * 3;
      to[0] = from[0];
      to[1] = from[1];
      to[2] = from[2];
    }
  }
}

}  // namespace cltrain
