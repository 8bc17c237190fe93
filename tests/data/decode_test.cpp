// JPEG and PNG: unusual kinds against Pillow's reading (golden/images, make_golden_images.py),
// kinds that Pillow cannot write against known pixels, and damaged input.
#include "data/decode.h"

#include "test_files.h"

#include <cmath>
#include <csetjmp>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <png.h>
#include <zlib.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using testing::Bytes;
using testing::data_error;

const fs::path kImages = fs::path(CLTRAIN_TEST_FILES) / "golden" / "images";
const std::vector<std::string> kFiles = {
    "colour.jpg",     "progressive.jpg", "grey.jpg",
    "cmyk.jpg",       "rgb.png",         "rgba.png",
    "grey_alpha.png", "palette.png",     "palette_transparent.png",
    "one_bit.png",    "grey16.png"};

Bytes file(const std::string& name) {
  return testing::read(kImages / name);
}

TEST(Decode, AgreesWithPillow) {
  for (const std::string& name : kFiles) {
    const Image found = decode_image(file(name), name);
    const Image expected = testing::golden_images("images/" + name)[0];
    ASSERT_EQ(found.height, expected.height) << name;
    ASSERT_EQ(found.width, expected.width) << name;
    ASSERT_EQ(found.pixels.size(), expected.pixels.size()) << name;
    // Inverse transforms and the conversion of CMYK may round differently; PNG may not.
    const int allowed = name.ends_with(".jpg") ? 2 : 0;
    int largest = 0;
    for (size_t at = 0; at < found.pixels.size(); ++at)
      largest = std::max(largest, std::abs(found.pixels[at] - expected.pixels[at]));
    EXPECT_LE(largest, allowed) << name;
  }
}

/// A PNG of 16-bit RGBA, interlaced or not.
Bytes write_png16(const std::vector<uint16_t>& rgba, uint32_t width, uint32_t height,
                  bool interlaced) {
  Bytes bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &bytes,
      [](png_structp writer, png_bytep data, size_t count) {
        auto* target = static_cast<Bytes*>(png_get_io_ptr(writer));
        target->insert(target->end(), data, data + count);
      },
      [](png_structp) {});
  png_set_IHDR(png, info, width, height, 16, PNG_COLOR_TYPE_RGBA,
               interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  Bytes big_endian;
  for (const uint16_t value : rgba) {
    big_endian.push_back(static_cast<uint8_t>(value >> 8));
    big_endian.push_back(static_cast<uint8_t>(value));
  }
  std::vector<png_bytep> rows;
  for (size_t y = 0; y < height; ++y) rows.push_back(big_endian.data() + y * width * 8);
  png_set_rows(png, info, rows.data());
  png_write_png(png, info, PNG_TRANSFORM_IDENTITY, nullptr);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

TEST(Decode, SixteenBitRgbaIsScaledAndCompositedOnWhite) {
  constexpr uint32_t kWidth = 13, kHeight = 9;
  std::mt19937 generator(1);
  std::vector<uint16_t> rgba(kWidth * kHeight * 4);
  for (uint16_t& value : rgba) value = static_cast<uint16_t>(generator());
  for (size_t pixel = 0; pixel < 20; ++pixel) rgba[4 * pixel + 3] = pixel % 2 ? 0 : 65535;
  for (const bool interlaced : {false, true}) {
    const Image image = decode_image(write_png16(rgba, kWidth, kHeight, interlaced), "x.png");
    ASSERT_EQ(image.height, kHeight);
    ASSERT_EQ(image.width, kWidth);
    for (size_t pixel = 0; pixel < kWidth * kHeight; ++pixel)
      for (size_t channel = 0; channel < 3; ++channel) {
        const double alpha = rgba[4 * pixel + 3] / 65535.0;
        const double expected = alpha * rgba[4 * pixel + channel] / 257.0 + (1 - alpha) * 255;
        ASSERT_NEAR(image.pixels[3 * pixel + channel], expected, 1.6);
      }
  }
}

TEST(Decode, RefusesTruncationAtEveryLength) {
  for (const std::string& name : kFiles) {
    const Bytes good = file(name);
    for (size_t length = 0; length + 12 < good.size(); length += 1 + length / 40) {
      const Bytes cut(good.begin(), good.begin() + static_cast<int64_t>(length));
      const std::string text = data_error([&] { decode_image(cut, "folder/" + name); });
      EXPECT_TRUE(text.starts_with("folder/" + name)) << text;
    }
  }
}

/// Damaged input may still decode; it must end in an image or in a DataError, nothing else.
TEST(Decode, SurvivesDamageAnywhere) {
  std::mt19937 generator(2);
  int refused = 0;
  for (const std::string& name : kFiles) {
    const Bytes good = file(name);
    for (int attempt = 0; attempt < 300; ++attempt) {
      Bytes bad = good;
      for (int change = 0; change <= attempt % 4; ++change)
        bad[generator() % bad.size()] = static_cast<uint8_t>(generator());
      try {
        const Image image = decode_image(bad, name);
        ASSERT_EQ(image.pixels.size(), static_cast<size_t>(3 * image.height * image.width));
      } catch (const DataError&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 500);
}

TEST(Decode, RefusesGarbage) {
  EXPECT_MENTIONS(data_error([] { decode_image({}, "a.jpg"); }), "a.jpg: neither JPEG nor PNG");
  const Bytes text(1000, 'x');
  EXPECT_MENTIONS(data_error([&] { decode_image(text, "a.png"); }), "neither JPEG nor PNG");
  Bytes start = {0xFF, 0xD8, 0xFF};
  start.resize(500, 0x11);
  EXPECT_MENTIONS(data_error([&] { decode_image(start, "b.jpg"); }), "b.jpg: damaged");
}

void put_big_endian(Bytes& bytes, size_t at, uint32_t value, int count) {
  for (int byte = 0; byte < count; ++byte)
    bytes[at + static_cast<size_t>(byte)] = static_cast<uint8_t>(value >> (8 * (count - 1 - byte)));
}

TEST(Decode, RefusesHugeSizesBeforeAllocating) {
  Bytes png = file("rgb.png");
  put_big_endian(png, 16, 0x7FFFFFFF, 4);
  put_big_endian(png, 20, 0x7FFFFFFF, 4);
  put_big_endian(png, 29, static_cast<uint32_t>(crc32(0, png.data() + 12, 17)), 4);
  EXPECT_MENTIONS(data_error([&] { decode_image(png, "huge.png"); }), "2147483647 x 2147483647");
  Bytes jpeg = file("colour.jpg");
  size_t frame = 0;
  while (!(jpeg[frame] == 0xFF && jpeg[frame + 1] == 0xC0)) ++frame;
  put_big_endian(jpeg, frame + 5, 60000, 2);
  put_big_endian(jpeg, frame + 7, 60001, 2);
  EXPECT_MENTIONS(data_error([&] { decode_image(jpeg, "huge.jpg"); }), "60001 x 60000");
}

}  // namespace
}  // namespace cltrain
