// Parts of a JPEG, and reduced ones: the pixels of a part are those of the whole picture, whatever
// the sampling, the orientation and the reduction.
#include "data/decode.h"
#include "jpeg_files.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::Bytes;
using testing::JpegKind;

Picture decode(const Bytes& file, const Box& part, int64_t reduction, DecodeScratch& scratch) {
  return open_image(file, "x.jpg")->decode(part, reduction, scratch);
}

Box whole(const Bytes& file) {
  const auto image = open_image(file, "x.jpg");
  return {0, 0, image->height(), image->width()};
}

/// Compares every pixel that `box` touches; where it lies in `part` and in `full` must agree.
void expect_same_pixels(const Picture& part, const Picture& full, const Box& box,
                        const std::string& what) {
  const RealBox here = part.place(box), there = full.place(box);
  ASSERT_EQ(part.scale, full.scale) << what;
  ASSERT_GE(here.top, 0) << what;
  ASSERT_GE(here.left, 0) << what;
  ASSERT_LE(here.top + here.height, static_cast<double>(part.height)) << what;
  ASSERT_LE(here.left + here.width, static_cast<double>(part.width)) << what;
  ASSERT_EQ(here.top - std::floor(here.top), there.top - std::floor(there.top)) << what;
  const auto row = static_cast<int64_t>(here.top), column = static_cast<int64_t>(here.left);
  const auto full_row = static_cast<int64_t>(there.top);
  const auto full_column = static_cast<int64_t>(there.left);
  const auto rows = static_cast<int64_t>(std::ceil(here.top + here.height)) - row;
  const auto columns = static_cast<int64_t>(std::ceil(here.left + here.width)) - column;
  for (int64_t y = 0; y < rows; ++y)
    for (int64_t x = 0; x < 3 * columns; ++x)
      ASSERT_EQ(part.pixels[((row + y) * part.width + column) * 3 + x],
                full.pixels[((full_row + y) * full.width + full_column) * 3 + x])
          << what << ", row " << y << " of " << rows << ", byte " << x << " of " << 3 * columns;
}

void check_boxes(const JpegKind& kind, int64_t height, int64_t width, int64_t reduction,
                 int boxes) {
  const Bytes file = testing::write_jpeg(testing::photo(height, width), kind);
  DecodeScratch of_whole, of_part;
  const Box all = whole(file);
  const Picture full = decode(file, all, reduction, of_whole);
  std::mt19937 generator(static_cast<unsigned>(height * width + reduction));
  const auto below = [&](int64_t bound) {
    return static_cast<int64_t>(generator() % static_cast<uint64_t>(bound));
  };
  for (int at = 0; at < boxes; ++at) {
    Box box;
    box.height = 1 + below(at % 3 ? all.height : std::min<int64_t>(all.height, 20));
    box.width = 1 + below(at % 4 ? all.width : std::min<int64_t>(all.width, 20));
    box.top = below(all.height - box.height + 1);
    box.left = below(all.width - box.width + 1);
    if (at % 5 == 0) box.top = at % 2 ? 0 : all.height - box.height;
    if (at % 7 == 0) box.left = at % 2 ? 0 : all.width - box.width;
    const std::string what = kind.name + ", orientation " + std::to_string(kind.orientation) +
                             ", 1/" + std::to_string(reduction) + ", " +
                             std::to_string(box.height) + " x " + std::to_string(box.width) +
                             " at " + std::to_string(box.top) + ", " + std::to_string(box.left) +
                             " of " + std::to_string(all.height) + " x " +
                             std::to_string(all.width);
    expect_same_pixels(decode(file, box, reduction, of_part), full, box, what);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(JpegPart, HasThePixelsOfTheWholePicture) {
  for (const JpegKind& kind : testing::jpeg_kinds())
    for (const int64_t reduction : {1, 2, 4, 8}) check_boxes(kind, 117, 163, reduction, 120);
}

/// A picture whose sides are whole blocks, one narrower than a block, and one of a single pixel.
TEST(JpegPart, HoldsForUnusualSides) {
  for (const JpegKind& kind : testing::jpeg_kinds())
    for (const int64_t reduction : {1, 2, 8}) {
      check_boxes(kind, 96, 128, reduction, 40);
      check_boxes(kind, 7, 200, reduction, 20);
      check_boxes(kind, 90, 3, reduction, 20);
      check_boxes(kind, 1, 1, reduction, 1);
    }
}

TEST(JpegPart, HoldsForEveryOrientation) {
  for (int orientation = 1; orientation <= 8; ++orientation)
    for (const int64_t reduction : {1, 2, 4}) {
      JpegKind kind;
      kind.orientation = orientation;
      check_boxes(kind, 75, 101, reduction, 60);
    }
}

/// A part is a saving: less than the whole is decoded.
TEST(JpegPart, IsNotTheWhole) {
  const Bytes file = testing::write_jpeg(testing::photo(375, 500), {});
  DecodeScratch scratch;
  const Picture part = decode(file, {200, 220, 50, 60}, 1, scratch);
  EXPECT_LE(part.height, 60);
  EXPECT_LE(part.width, 96);
  const Picture half = decode(file, {0, 0, 375, 500}, 2, scratch);
  EXPECT_EQ(half.height, 188);
  EXPECT_EQ(half.width, 250);
}

/// Against the mean of the pixels that each reduced one covers, in every orientation: a shift by a
/// pixel, or by half of one, would stand out on these gratings.
TEST(JpegPart, ReducedPicturesLieWhereTheyShould) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    JpegKind kind{"4:4:4", 1, 1};
    kind.orientation = orientation;
    const Bytes file = testing::write_jpeg(testing::photo(75, 101), kind, 97);
    DecodeScratch of_full, of_half;
    const Box all = whole(file);
    const Picture full = decode(file, all, 1, of_full), half = decode(file, all, 2, of_half);
    double total = 0;
    int64_t count = 0;
    for (int64_t y = 1; y + 1 < half.height; ++y)
      for (int64_t x = 1; x + 1 < half.width; ++x) {
        // Pixel (y, x) covers 2 x 2 pixels of the full picture, from here on.
        const auto row = static_cast<int64_t>(2 * (static_cast<double>(y) + half.top));
        const auto column = static_cast<int64_t>(2 * (static_cast<double>(x) + half.left));
        for (int64_t c = 0; c < 3; ++c) {
          const auto at = [&](int64_t dy, int64_t dx) {
            return full.pixels[((row + dy) * full.width + column + dx) * 3 + c];
          };
          const double mean = (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 4.0;
          total += std::abs(half.pixels[(y * half.width + x) * 3 + c] - mean);
          ++count;
        }
      }
    EXPECT_LT(total / static_cast<double>(count), 1.0) << "orientation " << orientation;
  }
}

}  // namespace
}  // namespace cltrain
