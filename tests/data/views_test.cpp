// make_views and make_plain_view: what is decoded never shows in the views, but for the reduction
// that augment.jpeg_scaling allows, which is measured here; and nothing is left over from picture
// to picture or thread to thread.
#include "data/views.h"

#include "data/augment.h"
#include "data/decode.h"
#include "jpeg_files.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::Bytes;
using testing::JpegKind;

constexpr uint64_t kSample = 77;

PhiloxKey key_of(uint64_t epoch) {
  return random_key(5, Purpose::kAugmentation, epoch);
}

AugmentOptions options_of(int64_t size) {
  AugmentOptions options;
  options.size = size;
  return options;
}

RawImage raw_of(Bytes bytes) {
  return {.encoded = std::move(bytes), .name = "x.jpg"};
}

std::vector<float> views_of(const RawImage& raw, const AugmentOptions& options, PhiloxKey key,
                            size_t count = 2) {
  const auto values = static_cast<size_t>(3 * options.size * options.size);
  std::vector<float> views(count * values);
  std::vector<float*> outs;
  for (size_t view = 0; view < count; ++view) outs.push_back(views.data() + view * values);
  make_views(raw, options, key, kSample, outs);
  return views;
}

/// By the whole picture at its full size.
std::vector<float> plainly(const RawImage& raw, const AugmentOptions& options, PhiloxKey key) {
  const Image image = raw.encoded.empty() ? raw.pixels : decode_image(raw.encoded, raw.name);
  const auto values = static_cast<size_t>(3 * options.size * options.size);
  std::vector<float> views(2 * values);
  for (uint32_t view = 0; view < 2; ++view)
    apply_view(image, draw_view(options, image.height, image.width, key, kSample, view), options,
               views.data() + view * values);
  return views;
}

TEST(MakeViews, WithoutScalingAreThoseOfTheWholePictureToTheBit) {
  AugmentOptions options = options_of(40);
  options.jpeg_scaling = false;
  int parts = 0;
  for (const JpegKind& each : testing::jpeg_kinds())
    for (const int orientation : {1, 6, 7}) {
      JpegKind kind = each;
      kind.orientation = orientation;
      const RawImage raw = raw_of(testing::write_jpeg(testing::photo(150, 210), kind));
      for (uint64_t epoch = 0; epoch < 6; ++epoch, ++parts)
        ASSERT_EQ(views_of(raw, options, key_of(epoch)), plainly(raw, options, key_of(epoch)))
            << kind.name << ", orientation " << orientation;
    }
  EXPECT_EQ(parts, 216);
}

TEST(MakeViews, OfPixelsAreThoseOfTheImage) {
  const RawImage raw{.pixels = testing::photo(32, 32), .name = "3"};
  EXPECT_EQ(views_of(raw, options_of(32), key_of(1)), plainly(raw, options_of(32), key_of(1)));
}

TEST(MakeViews, ReductionNeverLeavesTooFewPixels) {
  EXPECT_EQ(largest_reduction(448, 224), 2);
  EXPECT_EQ(largest_reduction(447, 224), 1);
  EXPECT_EQ(largest_reduction(896, 224), 4);
  EXPECT_EQ(largest_reduction(895, 224), 2);
  EXPECT_EQ(largest_reduction(100000, 224), 8);
  EXPECT_EQ(largest_reduction(1, 224), 1);
}

/// Mean absolute difference in levels of 8 bits between views of reduced and full decodes.
double scaling_error(const RawImage& raw, AugmentOptions options, uint64_t epochs) {
  options.jitter_probability = options.gray = 0;
  options.blur = 0;
  options.mean = {0, 0, 0};
  options.std = {1.0 / 255, 1.0 / 255, 1.0 / 255};
  AugmentOptions full = options;
  full.jpeg_scaling = false;
  double total = 0;
  size_t count = 0;
  for (uint64_t epoch = 0; epoch < epochs; ++epoch) {
    const auto some = views_of(raw, options, key_of(epoch));
    const auto exact = views_of(raw, full, key_of(epoch));
    for (size_t at = 0; at < some.size(); ++at) total += std::abs(some[at] - exact[at]);
    count += some.size();
  }
  return total / static_cast<double>(count);
}

/// The photo has an edge and gratings of eight pixels, harder than most pictures; a shift by half a
/// pixel of the view would cost several levels.
TEST(MakeViews, ScalingStaysCloseToTheFullDecode) {
  AugmentOptions options = options_of(48);
  options.crop_scale_min = 0.5;
  for (const int orientation : {1, 3, 5, 8}) {
    JpegKind kind;
    kind.orientation = orientation;
    for (const int64_t factor : {2, 4, 8}) {
      // Odd sides, so that reduced ones are not whole.
      const int64_t side = 48 * factor * 3 / 2 + 1;
      const RawImage raw =
          raw_of(testing::write_jpeg(testing::photo(side, side + side / 4), kind, 95));
      const double error = scaling_error(raw, options, 6);
      std::cout << "orientation " << orientation << ", about 1/" << factor << ": " << error
                << " levels\n";
      EXPECT_GT(error, 0) << factor;  // it was reduced
      EXPECT_LT(error, 2) << factor;
    }
  }
}

TEST(MakeViews, PlainViewsAreThoseOfTheWholePicture) {
  for (const int64_t size : {20, 32, 70}) {
    AugmentOptions options = options_of(size);
    options.mean = {0, 0, 0};
    options.std = {1.0 / 255, 1.0 / 255, 1.0 / 255};
    JpegKind kind;
    kind.orientation = 6;
    const RawImage raw = raw_of(testing::write_jpeg(testing::photo(301, 415), kind));
    std::vector<float> expected(static_cast<size_t>(3 * size * size)), found(expected.size());
    plain_view(decode_image(raw.encoded, ""), options, expected.data());
    make_plain_view(raw, options, found.data());
    double total = 0;
    for (size_t at = 0; at < found.size(); ++at) total += std::abs(found[at] - expected[at]);
    EXPECT_GT(total, 0);
    // At 32 pixels the gratings are as fine as the view's pixels: the worst there is.
    EXPECT_LT(total / static_cast<double>(found.size()), 3.5) << size;
    options.jpeg_scaling = false;
    make_plain_view(raw, options, found.data());
    EXPECT_EQ(found, expected) << size;
  }
}

/// Pictures of all sizes one after the other on each thread, in another order on each: what an
/// earlier picture left in the thread's memory must not show.
TEST(MakeViews, SameBitsOnAnyThreadAfterAnyPicture) {
  std::vector<RawImage> raws;
  for (const int64_t side : {9, 300, 40, 151})
    for (const int orientation : {1, 8}) {
      JpegKind kind;
      kind.orientation = orientation;
      raws.push_back(raw_of(testing::write_jpeg(testing::photo(side, side + 13), kind)));
    }
  raws.push_back({.pixels = testing::photo(32, 32), .name = "pixels"});
  std::vector<std::vector<float>> alone;
  for (const RawImage& raw : raws)
    std::thread([&] { alone.push_back(views_of(raw, options_of(56), key_of(0))); }).join();
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t thread = 0; thread < wrong.size(); ++thread)
    threads.emplace_back([&, thread] {
      for (size_t at = 0; at < 5 * raws.size(); ++at) {
        const size_t which = (at * (2 * thread + 5) + thread) % raws.size();
        wrong[thread] += views_of(raws[which], options_of(56), key_of(0)) != alone[which];
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(MakeViews, ViewsDoNotDependOnHowManyAreMade) {
  AugmentOptions options = options_of(24);
  options.jpeg_scaling = false;
  const RawImage raw = raw_of(testing::write_jpeg(testing::photo(90, 120), {}));
  const auto two = views_of(raw, options, key_of(0), 2), six = views_of(raw, options, key_of(0), 6);
  EXPECT_TRUE(std::equal(two.begin(), two.end(), six.begin()));
  EXPECT_THROW(views_of(raw, options, key_of(0), 17), std::invalid_argument);
  EXPECT_THROW(views_of(raw, options, key_of(0), 0), std::invalid_argument);
}

TEST(MakeViews, BadFilesAreBadSamples) {
  const auto kind_of = [](Bytes bytes) {
    std::vector<float> view(3 * 24 * 24);
    float* outs[] = {view.data()};
    try {
      make_views(raw_of(std::move(bytes)), options_of(24), key_of(0), kSample, outs);
    } catch (const BadSample& bad) {
      return bad.kind();
    }
    return std::string("good");
  };
  const Bytes good = testing::write_jpeg(testing::photo(90, 120), {});
  EXPECT_EQ(kind_of(good), "good");
  EXPECT_EQ(kind_of({}), "damaged");
  EXPECT_EQ(kind_of(Bytes(good.begin(), good.end() - 20)), "damaged");
  EXPECT_EQ(kind_of(Bytes(40, 'x')), "unsupported");
}

}  // namespace
}  // namespace cltrain
