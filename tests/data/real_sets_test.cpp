// The real data sets, on machines that have them: what is publicly known of each.
#include "data/clip_views.h"
#include "data/registry.h"
#include "video_files.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using testing::Bytes;

/// Known of the set: 6,000 of each label, mean .2860 and deviation .3530 of the training pixels.
void check_fashion_mnist() {
  const DatasetPair pair = open_datasets({});
  ASSERT_EQ(pair.train->size(), 60000);
  ASSERT_EQ(pair.test->size(), 10000);
  EXPECT_EQ(pair.train->label(0), 9);
  EXPECT_EQ(pair.test->label(0), 9);
  EXPECT_EQ(pair.test->label(1), 2);
  std::vector<int> counts(10);
  double sum = 0, squares = 0;
  for (int64_t at = 0; at < 60000; ++at) {
    ++counts[static_cast<size_t>(pair.train->label(at))];
    if (at % 10) continue;
    for (const uint8_t value : pair.train->image(at).pixels) {
      sum += value / 255.0;
      squares += value / 255.0 * value / 255.0;
    }
  }
  EXPECT_EQ(counts, std::vector<int>(10, 6000));
  const double values = 6000.0 * 28 * 28 * 3, mean = sum / values;
  EXPECT_NEAR(mean, 0.2860, 0.003);
  EXPECT_NEAR(std::sqrt(squares / values - mean * mean), 0.3530, 0.003);
}

/// Known of the set: the first labels, 500 of each class; BCL's list D_i has class counts 450 to 4.
void check_cifar100() {
  DataOptions options;
  options.name = "cifar100";
  options.root = std::string(CLTRAIN_SHARED_DATA) + "/cifar-100";
  DatasetPair pair = open_datasets(options);
  ASSERT_EQ(pair.train->size(), 50000);
  EXPECT_EQ(pair.train->label(0), 19);
  EXPECT_EQ(pair.test->label(0), 49);
  std::vector<int> counts(100);
  for (int64_t at = 0; at < 50000; ++at) ++counts[static_cast<size_t>(pair.train->label(at))];
  EXPECT_EQ(counts, std::vector<int>(100, 500));
  const Image first = pair.train->image(0);
  EXPECT_EQ((Bytes{first.pixels.begin(), first.pixels.begin() + 3}), (Bytes{255, 255, 255}));
  for (const auto& entry : fs::directory_iterator(options.root + "/splits")) {
    if (entry.path().filename().string().find("D_i") == std::string::npos) continue;
    options.index_list = entry.path();
    pair = open_datasets(options);
    ASSERT_EQ(pair.train->size(), 9754);
    std::fill(counts.begin(), counts.end(), 0);
    for (int64_t at = 0; at < 9754; ++at) ++counts[static_cast<size_t>(pair.train->label(at))];
    EXPECT_EQ(*std::max_element(counts.begin(), counts.end()), 450);
    EXPECT_EQ(*std::min_element(counts.begin(), counts.end()), 4);
  }
}

/// Known of the set: 300 clips of two classes, 128 x 96 at 16 frames/s, about two seconds each; all
/// of them are sound, and every frame of some is what ffmpeg decodes.
void check_videos() {
  DataOptions options;
  options.name = "video_folder";
  options.root = std::string(CLTRAIN_SHARED_DATA) + "/video";
  options.frames = 8;
  options.stride = 2;
  const DatasetPair pair = open_datasets(options);
  ASSERT_EQ(pair.train->size(), 300);
  ASSERT_EQ(pair.train->classes(), 2);
  AugmentOptions augment;
  augment.size = 56;
  const auto maker = pair.train->views(augment);
  ASSERT_EQ(maker->shape(), (ViewShape{3, 8, 56, 56}));
  std::vector<float> view(static_cast<size_t>(maker->values()));
  float* outs[] = {view.data()};
  const auto& videos = dynamic_cast<const VideoSet&>(*pair.train);
  for (int64_t at = 0; at < 300; ++at) {
    const auto video = videos.open(at);
    ASSERT_EQ(video->height(), 96) << video->name();
    ASSERT_EQ(video->width(), 128) << video->name();
    EXPECT_GE(video->frames(), 16) << video->name();
    EXPECT_LE(video->frames(), 128) << video->name();
    maker->make(at, random_key(1, Purpose::kAugmentation, 0), outs);
    const auto [low, high] = std::minmax_element(view.begin(), view.end());
    EXPECT_GE(*low, -2.2f) << video->name();
    EXPECT_LE(*high, 2.7f) << video->name();
    if (at % 50) continue;
    const auto dump = testing::decoded_frames(video->name(), 96, 128, {"yuv420p"});
    ASSERT_EQ(static_cast<int64_t>(dump.size()), video->frames()) << video->name();
    std::vector<int64_t> slots(dump.size());
    std::iota(slots.begin(), slots.end(), 0);
    video->read(slots, [&](size_t i, const Picture& frame) {
      const Bytes found(frame.pixels, frame.pixels + 3 * 96 * 128);
      EXPECT_LE(testing::largest_difference(found, dump[i]), 1) << video->name() << ", frame " << i;
    });
  }
}

class RealSet : public ::testing::Test {
 public:
  explicit RealSet(void (*check)()) : check_(check) {}
  void TestBody() override { check_(); }

 private:
  void (*check_)();
};

/// Tests of files that a machine may lack are not there at all then, and that is said.
bool add_real_set(const char* name, const fs::path& folder, void (*check)()) {
  if (!fs::exists(folder)) {
    std::cerr << "RealSets." << name << " is not among the tests: no " << folder << "\n";
    return false;
  }
  ::testing::RegisterTest("RealSets", name, nullptr, nullptr, __FILE__, __LINE__,
                          [check]() -> ::testing::Test* { return new RealSet(check); });
  return true;
}

[[maybe_unused]] const bool fashion_added =
    add_real_set("FashionMnist", "/usr/share/datasets/fashion-mnist", check_fashion_mnist);
[[maybe_unused]] const bool cifar_added = add_real_set(
    "Cifar100",
    *CLTRAIN_SHARED_DATA ? CLTRAIN_SHARED_DATA "/cifar-100" : "/CLTRAIN_SHARED_DATA-is-not-set",
    check_cifar100);
[[maybe_unused]] const bool videos_added = add_real_set(
    "Videos",
    *CLTRAIN_SHARED_DATA ? CLTRAIN_SHARED_DATA "/video" : "/CLTRAIN_SHARED_DATA-is-not-set",
    check_videos);

}  // namespace
}  // namespace cltrain
