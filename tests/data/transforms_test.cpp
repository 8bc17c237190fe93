// Resampling, colour and blur against torchvision's own output (golden/, made by
// make_golden_views.py), and against their definitions.
#include "compare_planes.h"
#include "data/blur.h"
#include "data/colour.h"
#include "data/resample.h"
#include "test_files.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::compare;
using testing::Difference;
using testing::golden_images;
using testing::golden_table;
using testing::planes_of;
using testing::resampled;

void blur(Planes& picture, int64_t kernel, double sigma) {
  BlurScratch scratch;
  gaussian_blur(picture, kernel, sigma, scratch);
}

TEST(Resample, IdentityChangesNothing) {
  const Image image = golden_images("small")[1];
  const Difference difference = compare(planes_of(image), image);
  EXPECT_EQ(difference.largest, 0);
  EXPECT_EQ(difference.values, 32 * 32 * 3);
}

TEST(Resample, CropsAgreeWithTorchvision) {
  const auto small = golden_images("small");
  const Image large = golden_images("large")[0];
  const auto draws = golden_table("crop_draws");
  const auto expected = golden_images("crop");
  ASSERT_EQ(draws.size(), expected.size());
  for (size_t at = 0; at < draws.size(); ++at) {
    const auto& row = draws[at];
    const Planes found = resampled(row[0] == 4 ? large : small[static_cast<size_t>(row[0])],
                                   {.crop = {row[1], row[2], row[3], row[4]},
                                    .resized_height = 24,
                                    .resized_width = 24,
                                    .side = 24});
    const Difference difference = compare(found, expected[at]);
    EXPECT_LE(difference.largest, 1) << "crop " << at;
    EXPECT_LE(difference.count, difference.values / 500) << "crop " << at;
  }
}

TEST(Resample, RefusesBoxesOutsideTheImage) {
  const Image image = golden_images("small")[0];
  const auto crop = [&](RealBox box) {
    return resampled(image, {.crop = box, .resized_height = 8, .resized_width = 8, .side = 8});
  };
  EXPECT_NO_THROW(crop({0, 0, 32, 32}));
  EXPECT_NO_THROW(crop({0.5, 0.25, 31.5, 31.75}));
  EXPECT_THROW(crop({0.5, 0, 31.75, 32}), std::invalid_argument);
  EXPECT_THROW(crop({1, 0, 32, 32}), std::invalid_argument);
  EXPECT_THROW(crop({0, -1, 3, 3}), std::invalid_argument);
  EXPECT_THROW(crop({0, 0, 0, 3}), std::invalid_argument);
}

TEST(Resample, BoxesBetweenPixelsMoveTheCentres) {
  Image ramp{16, 16, std::vector<uint8_t>(16 * 16 * 3)};
  for (int64_t y = 0; y < 16; ++y)
    for (int64_t x = 0; x < 16; ++x)
      for (int64_t c = 0; c < 3; ++c)
        ramp.pixels[static_cast<size_t>((y * 16 + x) * 3 + c)] =
            static_cast<uint8_t>(c == 0 ? 10 * x : (c == 1 ? 10 * y : 100));
  // Cubic convolution reproduces a ramp away from its ends: the value at the output's centre, less
  // half a pixel.
  const Planes found = resampled(ramp, {.crop = {2.25, 3.5, 9, 9},
                                        .resized_height = 18,
                                        .resized_width = 18,
                                        .top = 4,
                                        .left = 4,
                                        .side = 10});
  for (int64_t o = 0; o < 10; ++o) {
    const double step = 0.5 * (static_cast<double>(o) + 4.5);
    EXPECT_NEAR(found.plane(0)[o], 10 * (3.5 + step - 0.5), 0.51) << o;
    EXPECT_NEAR(found.plane(1)[10 * o], 10 * (2.25 + step - 0.5), 0.51) << o;
    EXPECT_EQ(found.plane(2)[o], 100);
  }
}

TEST(Colour, SingleOperationsAgreeWithTorchvision) {
  const auto small = golden_images("small");
  const auto draws = golden_table("single_draws");
  const auto expected = golden_images("single");
  ASSERT_EQ(draws.size(), 26u);
  for (size_t at = 0; at < draws.size(); ++at) {
    const Image& image = small[static_cast<size_t>(draws[at][0])];
    const int operation = static_cast<int>(draws[at][1]);
    Planes found = planes_of(image);
    if (operation == 0) adjust_brightness(found, draws[at][2]);
    if (operation == 1) adjust_contrast(found, draws[at][2]);
    if (operation == 2) adjust_saturation(found, draws[at][2]);
    if (operation == 3) adjust_hue(found, draws[at][2]);
    if (operation == 4) make_gray(found);
    if (operation == 5)
      found = resampled(image, {.crop = {0, 0, 32, 32},
                                .resized_height = 32,
                                .resized_width = 32,
                                .side = 32,
                                .flip = true});
    const Difference difference = compare(found, expected[at]);
    EXPECT_LE(difference.largest, 1) << "operation " << operation << " with " << draws[at][2];
    EXPECT_LE(difference.count, difference.values / 1000) << "operation " << operation;
  }
}

/// torchvision's _rgb2hsv and _hsv2rgb in double, one operation a line as they are there.
std::array<int, 3> turned_hue(std::array<int, 3> levels, double turn) {
  const double r = levels[0] / 255.0, g = levels[1] / 255.0, b = levels[2] / 255.0;
  const double high = std::max({r, g, b}), low = std::min({r, g, b}), range = high - low;
  const double s = range == 0 ? 0 : range / high, divisor = range == 0 ? 1 : range;
  const double rc = (high - r) / divisor, gc = (high - g) / divisor, bc = (high - b) / divisor;
  double h = high == r ? bc - gc : (high == g ? 2 + rc - bc : 4 + gc - rc);
  h = std::fmod(h / 6 + 1, 1.0) + turn;
  h -= std::floor(h);
  const double sector = std::floor(h * 6), f = h * 6 - sector;
  const double p = high * (1 - s), q = high * (1 - s * f), t = high * (1 - s * (1 - f));
  const double table[6][3] = {{high, t, p}, {q, high, p}, {p, high, t},
                              {p, q, high}, {t, p, high}, {high, p, q}};
  const auto& chosen = table[static_cast<int>(sector) % 6];
  std::array<int, 3> result;
  for (size_t c = 0; c < 3; ++c) result[c] = static_cast<int>(chosen[c] * 255.999);
  return result;
}

/// Every fifth level of each channel: greys, black, white and all edges between sectors are in it.
TEST(Colour, HueOfEveryKindOfColourAgreesWithItsDefinition) {
  std::vector<std::array<int, 3>> colours;
  for (int r = 0; r < 256; r += 5)
    for (int g = 0; g < 256; g += 5)
      for (int b = 0; b < 256; b += 5) colours.push_back({r, g, b});
  const auto side = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(colours.size()))));
  for (const double turn : {-0.5, -0.37, -0.1, 0.01, 0.2, 0.4999, 0.5}) {
    Planes found(side);
    for (size_t at = 0; at < colours.size(); ++at)
      for (size_t c = 0; c < 3; ++c)
        found.plane(static_cast<int>(c))[at] = static_cast<uint8_t>(colours[at][c]);
    adjust_hue(found, turn);
    int64_t different = 0;
    for (size_t at = 0; at < colours.size(); ++at) {
      const std::array<int, 3> expected = turned_hue(colours[at], turn);
      for (size_t c = 0; c < 3; ++c) {
        const int distance = std::abs(found.plane(static_cast<int>(c))[at] - expected[c]);
        ASSERT_LE(distance, 1) << turn << ", " << colours[at][0] << " " << colours[at][1] << " "
                               << colours[at][2];
        different += distance;
      }
    }
    EXPECT_LE(different, static_cast<int64_t>(3 * colours.size() / 1000)) << turn;
  }
}

TEST(Blur, AgreesWithTorchvision) {
  const auto small = golden_images("small");
  const auto draws = golden_table("blur_draws");
  const auto expected = golden_images("blur");
  for (size_t at = 0; at < draws.size(); ++at) {
    Planes found = planes_of(small[static_cast<size_t>(draws[at][0])]);
    blur(found, static_cast<int64_t>(draws[at][1]), draws[at][2]);
    const Difference difference = compare(found, expected[at]);
    EXPECT_LE(difference.largest, 1) << "blur " << at;
    EXPECT_LE(difference.count, difference.values / 500) << "blur " << at;
  }
  Planes picture = planes_of(small[0]);
  EXPECT_THROW(blur(picture, 4, 1), std::invalid_argument);
  EXPECT_THROW(blur(picture, 65, 1), std::invalid_argument);
  EXPECT_THROW(blur(picture, 3, 0), std::invalid_argument);
}

}  // namespace
}  // namespace cltrain
