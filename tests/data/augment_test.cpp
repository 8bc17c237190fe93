// The views against torchvision's own output (golden/, made by make_golden_views.py); the draws
// against their distributions there.
#include "data/augment.h"

#include "compare_planes.h"
#include "test_files.h"

#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <iostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::compare;
using testing::Difference;
using testing::golden_images;
using testing::golden_table;

/// Options whose normalisation writes the 8-bit values themselves.
AugmentOptions plain_options(int64_t size) {
  AugmentOptions options;
  options.size = size;
  options.mean = {0, 0, 0};
  options.std = {1.0 / 255, 1.0 / 255, 1.0 / 255};
  return options;
}

Planes planes_of(const std::vector<float>& view, int64_t size) {
  Planes planes(size);
  for (size_t at = 0; at < view.size(); ++at)
    planes.pixels[at] = static_cast<uint8_t>(std::lround(view[at]));
  return planes;
}

TEST(Views, JitterInRandomOrdersAgreesWithTorchvision) {
  const auto small = golden_images("small");
  const auto draws = golden_table("jitter_draws");
  const auto expected = golden_images("jitter");
  AugmentOptions options = plain_options(32);
  for (size_t at = 0; at < draws.size(); ++at) {
    const auto& row = draws[at];
    ViewDraw draw;
    draw.crop = {0, 0, 32, 32};
    draw.jitter = true;
    for (size_t place = 0; place < 4; ++place) draw.order[place] = static_cast<int>(row[1 + place]);
    draw.brightness = row[5];
    draw.contrast = row[6];
    draw.saturation = row[7];
    draw.hue = row[8];
    std::vector<float> view(3 * 32 * 32);
    apply_view(small[static_cast<size_t>(row[0])], draw, options, view.data());
    const Difference difference = compare(planes_of(view, 32), expected[at]);
    EXPECT_LE(difference.largest, 1) << "jitter " << at;
  }
}

/// A row of golden/view_draws.npy.
ViewDraw view_draw(const std::vector<double>& row) {
  const auto whole = [&](size_t column) { return static_cast<int64_t>(row[column]); };
  ViewDraw draw;
  draw.crop = {whole(1), whole(2), whole(3), whole(4)};
  draw.flip = row[5] != 0;
  draw.jitter = row[6] != 0;
  for (size_t place = 0; place < 4; ++place) draw.order[place] = static_cast<int>(row[7 + place]);
  draw.brightness = row[11];
  draw.contrast = row[12];
  draw.saturation = row[13];
  draw.hue = row[14];
  draw.gray = row[15] != 0;
  draw.blur = row[16] != 0;
  draw.sigma = row[17];
  return draw;
}

TEST(Views, WholeChainAgreesWithTorchvision) {
  const auto small = golden_images("small");
  const Image large = golden_images("large")[0];
  const auto draws = golden_table("view_draws");
  const auto expected = golden_images("view");
  AugmentOptions options = plain_options(24);
  options.blur_kernel = 3;
  for (size_t at = 0; at < draws.size(); ++at) {
    const auto& row = draws[at];
    const ViewDraw draw = view_draw(row);
    std::vector<float> view(3 * 24 * 24);
    apply_view(row[0] == 4 ? large : small[static_cast<size_t>(row[0])], draw, options,
               view.data());
    const Difference difference = compare(planes_of(view, 24), expected[at]);
    // A level lost in resampling may grow by the jitter's factors.
    EXPECT_LE(difference.largest, 2) << "view " << at;
    EXPECT_LE(difference.count, difference.values / 500) << "view " << at;
  }
}

TEST(Views, SolarisedAgreeWithTorchvision) {
  const auto small = golden_images("small");
  const Image large = golden_images("large")[0];
  const auto draws = golden_table("view_draws");
  const auto expected = golden_images("solarize"), before = golden_images("view");
  AugmentOptions options = plain_options(24);
  options.blur_kernel = 3;
  for (size_t at = 0; at < draws.size(); ++at) {
    ViewDraw draw = view_draw(draws[at]);
    draw.solarize = true;
    std::vector<float> view(3 * 24 * 24);
    apply_view(draws[at][0] == 4 ? large : small[static_cast<size_t>(draws[at][0])], draw, options,
               view.data());
    const Difference difference = compare(planes_of(view, 24), expected[at]);
    EXPECT_LE(difference.largest, 2) << "view " << at;
    EXPECT_LE(difference.count, difference.values / 500) << "view " << at;
    // And of the same picture exactly.
    Planes planes(24);
    for (size_t pixel = 0; pixel < 24 * 24; ++pixel)
      for (size_t c = 0; c < 3; ++c)
        planes.pixels[c * 24 * 24 + pixel] = before[at].pixels[3 * pixel + c];
    solarize(planes);
    EXPECT_EQ(compare(planes, expected[at]).largest, 0) << "view " << at;
  }
}

/// The bits of views are the same on AVX-512, AVX2 and the x86-64 baseline: this number was
/// computed with each. It fails where the compiler fuses multiplications and additions
/// (-ffp-contract=off is missing), and whenever views change.
TEST(Views, HaveTheSameBitsOnEveryInstructionSet) {
  const auto small = golden_images("small");
  const Image large = golden_images("large")[0];
  AugmentOptions options;
  options.size = 37;
  options.blur_kernel = 9;
  uint64_t hash = 1469598103934665603u;  // FNV-1a
  for (const auto& row : golden_table("view_draws")) {
    std::vector<float> view(3 * 37 * 37);
    apply_view(row[0] == 4 ? large : small[static_cast<size_t>(row[0])], view_draw(row), options,
               view.data());
    for (const float value : view) hash = (hash ^ std::bit_cast<uint32_t>(value)) * 1099511628211u;
  }
  EXPECT_EQ(hash, 2535620230102346571u);
}

TEST(Views, PlainViewsAgreeWithTorchvision) {
  const Image small = golden_images("small")[0], large = golden_images("large")[0];
  Image tall{large.width, large.height, testing::Bytes(large.pixels.size())};
  for (int64_t y = 0; y < tall.height; ++y)
    for (int64_t x = 0; x < tall.width; ++x)
      for (int64_t c = 0; c < 3; ++c)
        tall.pixels[static_cast<size_t>((y * tall.width + x) * 3 + c)] =
            large.pixels[static_cast<size_t>((x * large.width + y) * 3 + c)];
  const auto check = [](const Image& image, int64_t size, const std::string& name) {
    std::vector<float> view(static_cast<size_t>(3 * size * size));
    plain_view(image, plain_options(size), view.data());
    const Difference difference = compare(planes_of(view, size), golden_images(name)[0]);
    EXPECT_LE(difference.largest, 1) << name;
    EXPECT_LE(difference.count, difference.values / 500) << name;
  };
  check(large, 24, "plain_24");
  check(large, 72, "plain_72");
  check(tall, 40, "plain_tall_40");
  check(small, 40, "plain_grow_40");
}

TEST(Views, PlainViewOfTheRightSizeIsNormalisedOnly) {
  const Image image = golden_images("small")[2];
  AugmentOptions options;
  options.size = 32;
  std::vector<float> view(3 * 32 * 32);
  plain_view(image, options, view.data());
  for (size_t at = 0; at < 32 * 32; ++at)
    for (size_t c = 0; c < 3; ++c) {
      const double expected = (image.pixels[3 * at + c] / 255.0 - options.mean[c]) / options.std[c];
      ASSERT_NEAR(view[c * 32 * 32 + at], expected, 1e-5);
    }
}

TEST(Draws, DependOnEachPartOfTheKey) {
  const AugmentOptions options;
  const PhiloxKey key = random_key(3, Purpose::kAugmentation, 5);
  const ViewDraw draw = draw_view(options, 300, 400, key, 17, 0);
  EXPECT_EQ(draw.brightness, draw_view(options, 300, 400, key, 17, 0).brightness);
  EXPECT_NE(draw.brightness, draw_view(options, 300, 400, key, 17, 1).brightness);
  EXPECT_NE(draw.brightness, draw_view(options, 300, 400, key, 18, 0).brightness);
  const PhiloxKey other = random_key(3, Purpose::kAugmentation, 6);
  EXPECT_NE(draw.brightness, draw_view(options, 300, 400, other, 17, 0).brightness);
}

/// Computed by another implementation (Python, from the published algorithms): a change here gives
/// every continued run other views.
TEST(Draws, StayWhatTheyAre) {
  const PhiloxKey key = random_key(3, Purpose::kAugmentation, 5);
  const ViewDraw draw = draw_view(AugmentOptions(), 300, 400, key, 17, 1);
  EXPECT_EQ(draw.crop.top, 7);
  EXPECT_EQ(draw.crop.left, 68);
  EXPECT_EQ(draw.crop.height, 272);
  EXPECT_EQ(draw.crop.width, 256);
  EXPECT_TRUE(draw.flip && draw.jitter && draw.gray && draw.blur);
  EXPECT_EQ(draw.order, (std::array<int, 4>{1, 3, 2, 0}));
  EXPECT_DOUBLE_EQ(draw.brightness, 0.8518641471862793);
  EXPECT_DOUBLE_EQ(draw.contrast, 1.1144854545593261);
  EXPECT_DOUBLE_EQ(draw.saturation, 0.5112028121948242);
  EXPECT_DOUBLE_EQ(draw.hue, -0.17476835250854494);
  EXPECT_DOUBLE_EQ(draw.sigma, 0.7853538036346435);
}

TEST(Draws, AreIndependentOfOtherTransforms) {
  AugmentOptions options;
  const PhiloxKey key = random_key(3, Purpose::kAugmentation, 5);
  const ViewDraw before = draw_view(options, 300, 400, key, 17, 0);
  options.flip = 0;
  options.jitter_probability = 0;
  options.crop_scale_min = 0.5;
  const ViewDraw after = draw_view(options, 300, 400, key, 17, 0);
  EXPECT_EQ(before.hue, after.hue);
  EXPECT_EQ(before.order, after.order);
  EXPECT_EQ(before.sigma, after.sigma);
  EXPECT_EQ(before.gray, after.gray);
}

/// Means and deviations against 40,000 draws of torchvision; five standard errors of both samples.
TEST(Draws, HaveTorchvisionsDistributions) {
  const auto expected = golden_table("statistics");
  constexpr int kDraws = 40000;
  AugmentOptions options;
  const PhiloxKey key = random_key(11, Purpose::kAugmentation, 0);
  const int64_t sizes[2][2] = {{375, 500}, {20, 100}};
  for (size_t part = 0; part < 3; ++part) {
    double sum[4] = {}, squares[4] = {};
    for (uint64_t at = 0; at < kDraws; ++at) {
      const size_t of = part < 2 ? part : 0;
      const ViewDraw draw = draw_view(options, sizes[of][0], sizes[of][1], key, at, 0);
      const Box& box = draw.crop;
      const double values[2][4] = {
          {double(box.top), double(box.left), double(box.height), double(box.width)},
          {draw.brightness, draw.contrast, draw.saturation, draw.hue}};
      for (int column = 0; column < 4; ++column) {
        sum[column] += values[part / 2][column];
        squares[column] += values[part / 2][column] * values[part / 2][column];
      }
    }
    for (size_t column = 0; column < 4; ++column) {
      const double mean = sum[column] / kDraws;
      const double deviation = std::sqrt(squares[column] / kDraws - mean * mean);
      const double error = expected[part][4 + column] * std::sqrt(2.0 / kDraws);
      EXPECT_NEAR(mean, expected[part][column], 5 * error) << part << ", " << column;
      EXPECT_NEAR(deviation, expected[part][4 + column], 0.03 * expected[part][4 + column])
          << part << ", " << column;
    }
  }
}

TEST(Draws, HaveTheProbabilitiesAskedFor) {
  AugmentOptions options;
  const PhiloxKey key = random_key(12, Purpose::kAugmentation, 0);
  constexpr int kDraws = 40000;
  int flips = 0, jitters = 0, grays = 0, blurs = 0, orders[4][4] = {};
  double sigma = 0;
  for (uint64_t at = 0; at < kDraws; ++at) {
    const ViewDraw draw = draw_view(options, 32, 32, key, at, 1);
    flips += draw.flip;
    jitters += draw.jitter;
    grays += draw.gray;
    blurs += draw.blur;
    sigma += draw.sigma;
    int seen = 0;
    for (int place = 0; place < 4; ++place) {
      ++orders[place][draw.order[static_cast<size_t>(place)]];
      seen |= 1 << draw.order[static_cast<size_t>(place)];
    }
    ASSERT_EQ(seen, 15);
  }
  EXPECT_NEAR(flips, 0.5 * kDraws, 500);
  EXPECT_NEAR(jitters, 0.8 * kDraws, 400);
  EXPECT_NEAR(grays, 0.2 * kDraws, 400);
  EXPECT_NEAR(blurs, 0.5 * kDraws, 500);
  EXPECT_NEAR(sigma / kDraws, 1.05, 0.015);
  for (const auto& place : orders)
    for (const int count : place) EXPECT_NEAR(count, 0.25 * kDraws, 450);
}

/// MoCo v3 and BYOL: the first view is always blurred, the second seldom, and solarised at times.
TEST(Draws, HaveProbabilitiesOfEachView) {
  AugmentOptions one, each;
  each.blur = {1.0, 0.1};
  each.solarize = {0.0, 0.2};
  const PhiloxKey key = random_key(12, Purpose::kAugmentation, 0);
  constexpr int kDraws = 40000;
  int blurs[2] = {}, solarized[2] = {};
  for (uint64_t at = 0; at < kDraws; ++at)
    for (uint32_t view = 0; view < 2; ++view) {
      const ViewDraw draw = draw_view(each, 32, 32, key, at, view);
      const ViewDraw before = draw_view(one, 32, 32, key, at, view);
      blurs[view] += draw.blur;
      solarized[view] += draw.solarize;
      EXPECT_FALSE(before.solarize);
      EXPECT_EQ(draw.sigma, before.sigma);
      EXPECT_EQ(draw.hue, before.hue);
      EXPECT_EQ(draw.crop.left, before.crop.left);
      // One uniform number, whatever it is compared with.
      EXPECT_TRUE(view == 0 ? draw.blur : !draw.blur || before.blur);
    }
  EXPECT_EQ(blurs[0], kDraws);
  EXPECT_NEAR(blurs[1], 0.1 * kDraws, 300);
  EXPECT_EQ(solarized[0], 0);
  EXPECT_NEAR(solarized[1], 0.2 * kDraws, 400);
}

TEST(Options, ListsMustFitTheViews) {
  AugmentOptions options;
  options.blur = {1.0, 0.1};
  options.solarize = {0.0, 0.2, 0.2};
  const auto found = problems(options);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0],
            "augment.solarize has 3 numbers; allowed: one for all views, or 2, one a view");
  EXPECT_MENTIONS(problems(options, 3)[0], "augment.blur has 2 numbers");
}

TEST(Options, ProblemsAreNamed) {
  AugmentOptions options;
  EXPECT_TRUE(problems(options).empty());
  EXPECT_EQ(blur_kernel_size(options), 3);
  options.size = 224;
  EXPECT_EQ(blur_kernel_size(options), 23);
  options.size = 8;
  EXPECT_EQ(blur_kernel_size(options), 1);
  options.blur_kernel = 17;
  options.crop_scale_min = 0.9;
  options.crop_scale_max = 0.3;
  options.mean = {0.5};
  options.std = {1, 0, 1};
  const auto found = problems(options);
  ASSERT_EQ(found.size(), 4u);
  EXPECT_MENTIONS(found[0], "augment.crop_scale_min = 0.9");
  EXPECT_MENTIONS(found[1], "augment.mean has 1");
  EXPECT_MENTIONS(found[2], "augment.std");
  EXPECT_MENTIONS(found[3], "too wide for views of augment.size = 8");
}

/// Not a benchmark: prints the rate, and fails only when something is absurdly slow.
TEST(Views, AreFastEnoughForTraining) {
  const testing::PatternDataset dataset(256, 28);
  AugmentOptions options;
  options.blur = 0;
  const PhiloxKey key = random_key(1, Purpose::kAugmentation, 0);
  std::vector<float> view(3 * 28 * 28);
  const auto start = std::chrono::steady_clock::now();
  constexpr int kViews = 4000;
  for (int at = 0; at < kViews; at += 2) {
    const Image image = dataset.image(at % 256);
    for (uint32_t which = 0; which < 2; ++which)
      apply_view(image, draw_view(options, 28, 28, key, static_cast<uint64_t>(at), which), options,
                 view.data());
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::cout << "28 x 28 without blur: " << static_cast<int>(kViews / seconds.count())
            << " views/s on one thread\n";
  EXPECT_GT(kViews / seconds.count(), 1000);
}

}  // namespace
}  // namespace cltrain
