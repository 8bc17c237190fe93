// EXIF orientation: what is found, what is ignored, and where boxes and pixels go. The eight
// orientations of whole files are compared with Pillow's in decode_test.cpp.
#include "data/exif.h"

#include "data/decode.h"
#include "jpeg_files.h"

#include <algorithm>
#include <array>
#include <random>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::Bytes;

/// A TIFF block with entries of (tag, type, count, value), big-endian or little-endian.
Bytes tiff(bool big_endian, const std::vector<std::array<uint32_t, 4>>& entries) {
  Bytes bytes = big_endian ? Bytes{'M', 'M', 0, '*'} : Bytes{'I', 'I', '*', 0};
  const auto put = [&](uint32_t value, int count) {
    for (int i = 0; i < count; ++i)
      bytes.push_back(static_cast<uint8_t>(value >> (8 * (big_endian ? count - 1 - i : i))));
  };
  put(8, 4);
  put(static_cast<uint32_t>(entries.size()), 2);
  for (const auto& [tag, type, count, value] : entries) {
    put(tag, 2);
    put(type, 2);
    put(count, 4);
    put(value, 2);
    put(0, 2);
  }
  put(0, 4);
  return bytes;
}

TEST(Exif, OrientationIsReadInBothByteOrders) {
  for (const bool big_endian : {false, true})
    for (uint32_t value = 1; value <= 8; ++value) {
      EXPECT_EQ(exif_orientation(tiff(big_endian, {{0x112, 3, 1, value}})),
                static_cast<int>(value));
      EXPECT_EQ(exif_orientation(tiff(big_endian, {{0x10E, 2, 4, 77}, {0x112, 3, 1, value}})),
                static_cast<int>(value));
    }
}

TEST(Exif, MalformedBlocksCountAsAbsent) {
  EXPECT_EQ(exif_orientation({}), 1);
  for (const uint32_t value : {0u, 9u, 0xFFFFu})
    EXPECT_EQ(exif_orientation(tiff(true, {{0x112, 3, 1, value}})), 1);
  EXPECT_EQ(exif_orientation(tiff(true, {{0x112, 4, 1, 6}})), 1);  // not a short
  EXPECT_EQ(exif_orientation(tiff(true, {{0x112, 3, 2, 6}})), 1);  // two of them
  EXPECT_EQ(exif_orientation(tiff(true, {{0x113, 3, 1, 6}})), 1);  // another tag
  const Bytes good = tiff(false, {{0x10E, 2, 4, 77}, {0x112, 3, 1, 6}});
  for (size_t length = 0; length < 8 + 2 + 24; ++length)
    EXPECT_EQ(exif_orientation(std::span(good).first(length)), 1) << length;
  for (const uint8_t far : {0xFF, 0x7F, 0x00, 0x07}) {
    Bytes bad = good;
    bad[4] = bad[5] = bad[6] = bad[7] = far;  // where the directory lies
    EXPECT_EQ(exif_orientation(bad), 1);
  }
  Bytes endless = good;
  endless[8] = endless[9] = 0xFF;  // entries
  endless[10 + 12] = 0x13;         // and no orientation among those that are there
  EXPECT_EQ(exif_orientation(endless), 1);
}

TEST(Exif, NoBytesLeadOutside) {
  std::mt19937 generator(3);
  const Bytes good = tiff(true, {{0x10E, 2, 4, 77}, {0x112, 3, 1, 6}});
  testing::JpegKind kind;
  kind.orientation = 6;
  const Bytes jpeg = testing::write_jpeg(testing::photo(9, 9), kind);
  for (int attempt = 0; attempt < 20000; ++attempt) {
    // On the heap at its exact length, so that a sanitizer sees the first byte too far.
    Bytes bad(good.begin(), good.begin() + static_cast<int64_t>(generator() % (good.size() + 1)));
    for (int change = 0; change < 3 && !bad.empty(); ++change)
      bad[generator() % bad.size()] = static_cast<uint8_t>(generator());
    bad.shrink_to_fit();
    const int orientation = exif_orientation(bad);
    ASSERT_TRUE(orientation >= 1 && orientation <= 8);
    Bytes file(jpeg.begin(), jpeg.begin() + static_cast<int64_t>(2 + generator() % 200));
    file[generator() % file.size()] = static_cast<uint8_t>(generator());
    file.shrink_to_fit();
    for (const auto block : {exif_of_jpeg(file), exif_of_png(file)}) {
      if (block.empty()) continue;
      ASSERT_GE(block.data(), file.data());
      ASSERT_LE(block.data() + block.size(), file.data() + file.size());
    }
  }
}

TEST(Exif, BoxesGoWherePixelsGo) {
  constexpr int64_t kHeight = 5, kWidth = 8;
  std::vector<uint8_t> stored(kHeight * kWidth * 3), upright(stored.size());
  for (size_t at = 0; at < stored.size(); ++at) stored[at] = static_cast<uint8_t>(at);
  for (int orientation = 1; orientation <= 8; ++orientation) {
    turn_upright(stored.data(), kHeight, kWidth, orientation, upright.data());
    const int64_t height = swaps_sides(orientation) ? kWidth : kHeight;
    const int64_t width = swaps_sides(orientation) ? kHeight : kWidth;
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x) {
        const Box place = stored_box({y, x, 1, 1}, orientation, kHeight, kWidth);
        ASSERT_EQ(upright[static_cast<size_t>((y * width + x) * 3)],
                  stored[static_cast<size_t>((place.top * kWidth + place.left) * 3)])
            << orientation;
      }
    const Box box = stored_box({1, 2, 3, 2}, orientation, kHeight, kWidth);
    const Box corner = stored_box({1, 2, 1, 1}, orientation, kHeight, kWidth);
    const Box opposite = stored_box({3, 3, 1, 1}, orientation, kHeight, kWidth);
    EXPECT_EQ(box.top, std::min(corner.top, opposite.top));
    EXPECT_EQ(box.left, std::min(corner.left, opposite.left));
    EXPECT_EQ(box.height, swaps_sides(orientation) ? 2 : 3);
    EXPECT_EQ(box.width, swaps_sides(orientation) ? 3 : 2);
  }
}

}  // namespace
}  // namespace cltrain
