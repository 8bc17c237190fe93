// JPEG and PNG: unusual kinds against Pillow's reading (golden/images, make_golden_images.py),
// kinds that Pillow cannot write against known pixels, and files that are refused. Damage of all
// sorts: damaged_images_test.cpp.
#include "data/decode.h"

#include "jpeg_files.h"
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
const std::vector<std::string> kFiles = {"colour.jpg",
                                         "progressive.jpg",
                                         "grey.jpg",
                                         "cmyk.jpg",
                                         "rgb.png",
                                         "rgba.png",
                                         "grey_alpha.png",
                                         "palette.png",
                                         "palette_transparent.png",
                                         "one_bit.png",
                                         "grey16.png",
                                         "444.jpg",
                                         "422.jpg",
                                         "orientation_1.jpg",
                                         "orientation_2.jpg",
                                         "orientation_3.jpg",
                                         "orientation_4.jpg",
                                         "orientation_5.jpg",
                                         "orientation_6.jpg",
                                         "orientation_7.jpg",
                                         "orientation_8.jpg",
                                         "orientation_6.png",
                                         "orientation_7_alpha.png",
                                         "orientation_8_late.png",
                                         "rgb16.png",
                                         "rgb_one_colour_transparent.png",
                                         "grey_two_bits.png",
                                         "animated.png"};

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

TEST(Decode, YcckIsReadAsWhatWasWritten) {
  const Image light = testing::photo(40, 60);
  testing::JpegKind kind{"YCCK", 1, 1, false, 0, JCS_YCCK};
  const Image found = decode_image(testing::write_jpeg(light, kind, 98), "ycck.jpg");
  double total = 0;
  for (int64_t y = 0; y < 40; ++y)
    for (int64_t x = 0; x < 60; ++x)
      for (int64_t c = 0; c < 3; ++c) {
        const auto at = static_cast<size_t>((y * 60 + x) * 3 + c);
        const double black = static_cast<double>(255 - (x + y) % 64) / 255;
        total += std::abs(found.pixels[at] - black * light.pixels[at]);
      }
  EXPECT_LT(total / static_cast<double>(found.pixels.size()), 2.0);
}

std::string kind_of(const Bytes& bytes) {
  try {
    decode_image(bytes, "x");
  } catch (const BadSample& bad) {
    return bad.kind();
  }
  return "good";
}

TEST(Decode, OtherFormatsAreNamed) {
  const std::vector<std::pair<std::string, std::string>> files = {
      {"GIF89a", "GIF"},
      {std::string("RIFF\x40\0\0\0WEBPVP8 ", 16), "WebP"},
      {"BM6", "BMP"},
      {std::string("II*\0", 4), "TIFF"},
      {std::string("\0\0\0\x1C"
                   "ftypheic",
                   12),
       "HEIF"},
      {std::string("\0\0\0\x1C"
                   "ftypavif",
                   12),
       "AVIF"},
      {"<!DOCTYPE html>", "HTML"},
      {"xxxxxxxxxxxxxxxx", "an unknown format"}};
  for (const auto& [start, format] : files) {
    Bytes bytes(start.begin(), start.end());
    bytes.resize(100, 1);
    EXPECT_EQ(kind_of(bytes), "unsupported") << format;
    const std::string text = data_error([&] { decode_image(bytes, "a.jpg"); });
    EXPECT_MENTIONS(text, "a.jpg: neither JPEG nor PNG but " + format);
  }
}

TEST(Decode, RefusesGarbage) {
  EXPECT_MENTIONS(data_error([] { decode_image({}, "a.jpg"); }), "a.jpg: empty file");
  EXPECT_EQ(kind_of({}), "damaged");
  EXPECT_EQ(kind_of({0xFF, 0xD8, 0xFF}), "damaged");
  Bytes start = {0xFF, 0xD8, 0xFF};
  start.resize(500, 0x11);
  EXPECT_MENTIONS(data_error([&] { decode_image(start, "b.jpg"); }), "b.jpg: damaged");
  EXPECT_EQ(kind_of(start), "damaged");
}

TEST(Decode, KindsOfJpegThatNobodyDecodesAreUnsupported) {
  Bytes jpeg = file("colour.jpg");
  size_t frame = 0;
  while (!(jpeg[frame] == 0xFF && jpeg[frame + 1] == 0xC0)) ++frame;
  Bytes lossless = jpeg;
  lossless[frame + 1] = 0xC3;
  EXPECT_EQ(kind_of(lossless), "unsupported");
  Bytes twelve_bits = jpeg;
  twelve_bits[frame + 4] = 12;
  EXPECT_EQ(kind_of(twelve_bits), "unsupported");
  EXPECT_EQ(kind_of(jpeg), "good");
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
  EXPECT_EQ(kind_of(png), "too_large");
  EXPECT_EQ(kind_of(jpeg), "too_large");
}

}  // namespace
}  // namespace cltrain
