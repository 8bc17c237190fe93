// Contact sheets: where pixels land, proportions, captions, frames; views back to 8 bits.
#include "eval/contact_sheet.h"

#include "eval/tiny_font.h"

#include <array>
#include <set>
#include <stdexcept>
#include <string>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using Colour = std::array<int, 3>;
constexpr Colour kWhite{255, 255, 255}, kRed{200, 10, 20};

Image plain(int64_t height, int64_t width, const Colour& colour) {
  Image image{height, width, {}};
  for (int64_t i = 0; i < height * width; ++i)
    for (const int value : colour) image.pixels.push_back(static_cast<uint8_t>(value));
  return image;
}

Colour pixel(const Image& image, int64_t y, int64_t x) {
  const size_t at = static_cast<size_t>((y * image.width + x) * 3);
  return {image.pixels[at], image.pixels[at + 1], image.pixels[at + 2]};
}

TEST(ContactSheet, CellsLieRowByRowAndBlankOnesStayBlank) {
  const SheetLayout layout{.columns = 2, .side = 10, .margin = 4};
  const Image sheet = contact_sheet({{plain(5, 5, kRed)},
                                     {plain(40, 40, {0, 255, 0})},
                                     {Image{}},
                                     {plain(10, 10, {0, 0, 9})},
                                     {plain(10, 10, kRed)}},
                                    layout);
  EXPECT_EQ(sheet.width, 2 * 14 + 4);
  EXPECT_EQ(sheet.height, 3 * 14 + 4);
  EXPECT_EQ(pixel(sheet, 3, 4), kWhite);
  EXPECT_EQ(pixel(sheet, 4, 4), kRed);
  EXPECT_EQ(pixel(sheet, 13, 13), kRed);
  EXPECT_EQ(pixel(sheet, 14, 13), kWhite);
  EXPECT_EQ(pixel(sheet, 8, 20), (Colour{0, 255, 0}));
  EXPECT_EQ(pixel(sheet, 20, 8), kWhite);
  EXPECT_EQ(pixel(sheet, 20, 20), (Colour{0, 0, 9}));
  EXPECT_EQ(pixel(sheet, 36, 8), kRed);
  EXPECT_EQ(pixel(sheet, 36, 20), kWhite);
}

TEST(ContactSheet, ImagesKeepTheirProportionsInTheMiddle) {
  const Image sheet =
      contact_sheet({{plain(20, 40, kRed)}}, {.columns = 1, .side = 40, .margin = 4});
  EXPECT_EQ(pixel(sheet, 4 + 5, 4 + 20), kWhite);
  EXPECT_EQ(pixel(sheet, 4 + 20, 4 + 1), kRed);
  EXPECT_EQ(pixel(sheet, 4 + 20, 4 + 38), kRed);
  EXPECT_EQ(pixel(sheet, 4 + 35, 4 + 20), kWhite);
}

TEST(ContactSheet, FramesLieInTheMarginAndCaptionsBelow) {
  const SheetLayout layout{.columns = 2, .side = 30, .margin = 6};
  const Image sheet = contact_sheet(
      {{plain(30, 30, kRed), "1", true}, {plain(30, 30, kRed), "a caption far too long"}}, layout);
  EXPECT_EQ(pixel(sheet, 4, 20), (Colour{213, 94, 0}));
  EXPECT_EQ(pixel(sheet, 4, 56), kWhite);
  EXPECT_EQ(pixel(sheet, 6, 6), kRed);
  EXPECT_EQ(sheet.height, 6 + 30 + 5 + 7 + 6);
  // The "1" has its full column in the middle of its five.
  int64_t dark_columns = 0, dark = 0;
  for (int64_t x = 6; x < 36; ++x) {
    int64_t here = 0;
    for (int64_t y = 41; y < 48; ++y) here += pixel(sheet, y, x) != kWhite;
    dark_columns += here == 7;
    dark += here;
  }
  EXPECT_EQ(dark_columns, 1);
  EXPECT_EQ(dark, 2 + 7 + 1);
  for (int64_t y = 0; y < sheet.height; ++y)  // nothing leaves its cell
    for (int64_t x = 72; x < sheet.width; ++x) EXPECT_EQ(pixel(sheet, y, x), kWhite);
}

TEST(ContactSheet, RefusesWhatMakesNoSheet) {
  const std::vector<SheetCell> one{{plain(3, 3, kRed)}};
  EXPECT_THROW(contact_sheet({}, {}), std::invalid_argument);
  EXPECT_THROW(contact_sheet(one, {.columns = 0}), std::invalid_argument);
  EXPECT_THROW(contact_sheet(one, {.side = 0}), std::invalid_argument);
  EXPECT_THROW(contact_sheet(one, {.margin = 0}), std::invalid_argument);
  EXPECT_THROW(contact_sheet({{Image{3, 3, std::vector<uint8_t>(26)}}}, {}), std::invalid_argument);
}

TEST(TinyFont, DigitsAndLettersDifferAndTheUnknownIsABox) {
  std::set<std::array<uint8_t, 5>> seen;
  for (const char character : std::string("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.-:#=%+,/_()"))
    EXPECT_TRUE(seen.insert(glyph(character)).second) << character;
  EXPECT_EQ(glyph('q'), glyph('Q'));
  EXPECT_EQ(glyph('~'), (std::array<uint8_t, 5>{0x7F, 0x41, 0x41, 0x41, 0x7F}));
  EXPECT_EQ(glyph(' '), (std::array<uint8_t, 5>{}));
}

TEST(ImageOfView, UndoesTheNormalisation) {
  const std::vector<double> mean{0.485, 0.456, 0.406}, deviation{0.229, 0.224, 0.225};
  at::Tensor bytes = at::arange(3 * 16 * 16, at::kFloat).remainder(256).view({3, 16, 16});
  at::Tensor view = bytes / 255;
  for (int64_t c = 0; c < 3; ++c) view[c] = (view[c] - mean[c]) / deviation[c];
  const Image image = image_of_view(view, mean, deviation);
  ASSERT_EQ(image.height, 16);
  for (int64_t c = 0; c < 3; ++c)
    for (int64_t at = 0; at < 256; ++at)
      ASSERT_EQ(image.pixels[3 * at + c], bytes.view({3, -1})[c][at].item<float>());
  const Image clamped = image_of_view(at::full({3, 1, 2}, 50.0), mean, deviation);
  EXPECT_EQ(clamped.pixels, std::vector<uint8_t>(6, 255));
  EXPECT_THROW(image_of_view(at::zeros({1, 4, 4}), mean, deviation), std::invalid_argument);
  EXPECT_THROW(image_of_view(view, {0.5}, deviation), std::invalid_argument);
}

}  // namespace
}  // namespace cltrain
