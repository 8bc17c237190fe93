// embed_share: every position embedded once, by the rank whose row it is.
#include "eval/features.h"

#include "data/view_maker.h"
#include "one_rank.h"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

/// Pictures of one grey: the position itself. label = position mod 4. Some cannot be used.
class GreyDataset : public Dataset {
 public:
  explicit GreyDataset(int64_t size, std::set<int64_t> bad = {})
      : size_(size), bad_(std::move(bad)) {}
  int64_t size() const override { return size_; }
  int64_t classes() const override { return 4; }
  int64_t label(int64_t position) const override { return position % 4; }
  std::string describe() const override { return "greys"; }
  int64_t source_id(int64_t position) const override { return 100 + position; }
  Image image(int64_t position) const override {
    if (bad_.count(position)) throw BadSample("damaged", "bad " + std::to_string(position));
    return {6, 6, std::vector<uint8_t>(108, static_cast<uint8_t>(position))};
  }

 private:
  int64_t size_;
  std::set<int64_t> bad_;
};

AugmentOptions plain_views() {
  AugmentOptions views;
  views.size = 6;
  views.mean = {0, 0, 0};
  views.std = {1, 1, 1};
  return views;
}

/// The grey of each picture, twice, as a network of two features would give it.
at::Tensor greys(const at::Tensor& images) {
  const at::Tensor grey = (images.mean({1, 2, 3}) * 255).round();
  return at::stack({grey, -grey}, 1);
}

TEST(EmbedShare, RanksTogetherHoldEveryRowOnceInOrder) {
  const GreyDataset dataset(23);
  for (const int size : {1, 2, 3, 5, 30}) {
    std::vector<at::Tensor> vectors, labels, ids;
    for (int rank = 0; rank < size; ++rank) {
      const Features share = embed_share(dataset, plain_views(), greys,
                                         {.batch = 4, .workers = 2, .rank = rank, .size = size});
      EXPECT_EQ(share.vectors.size(0), 23 * (rank + 1) / size - 23 * rank / size);
      EXPECT_EQ(share.vectors.size(1), 2);
      vectors.push_back(share.vectors);
      labels.push_back(share.labels);
      ids.push_back(share.ids);
      EXPECT_EQ(share.left_out, 0);
    }
    const at::Tensor positions = at::arange(23, at::kFloat);
    EXPECT_TRUE(at::equal(at::cat(vectors), at::stack({positions, -positions}, 1))) << size;
    EXPECT_TRUE(at::equal(at::cat(labels), at::arange(23, at::kLong).remainder(4))) << size;
    EXPECT_TRUE(at::equal(at::cat(ids), at::arange(100, 123, at::kLong))) << size;
  }
}

TEST(EmbedShare, BatchesAreNoLargerThanAsked) {
  std::vector<int64_t> sizes;
  const Embed noting = [&](const at::Tensor& images) {
    EXPECT_EQ(images.sizes().slice(1), (std::vector<int64_t>{3, 6, 6}));
    sizes.push_back(images.size(0));
    return greys(images);
  };
  embed_share(GreyDataset(11), plain_views(), noting, {.batch = 4});
  EXPECT_EQ(sizes, (std::vector<int64_t>{4, 4, 3}));
  sizes.clear();
  embed_share(GreyDataset(8), plain_views(), noting, {.batch = 4});
  EXPECT_EQ(sizes, (std::vector<int64_t>{4, 4}));
}

TEST(EmbedShare, HandsOutFloatWithoutAGraph) {
  const Embed doubles = [](const at::Tensor& images) {
    EXPECT_FALSE(c10::GradMode::is_enabled());
    return greys(images).to(at::kDouble);
  };
  const Features share = embed_share(GreyDataset(3), plain_views(), doubles, {});
  EXPECT_EQ(share.vectors.scalar_type(), at::kFloat);
  EXPECT_FALSE(share.vectors.requires_grad());
}

TEST(EmbedShare, LeavesBadSamplesOutOnTheRankThatOwnsThem) {
  const std::set<int64_t> bad = {0, 5, 6, 7, 8, 9, 22};
  const GreyDataset dataset(23, bad);
  std::vector<int64_t> good;
  for (int64_t position = 0; position < 23; ++position)
    if (!bad.count(position)) good.push_back(position);
  const at::Tensor positions = at::tensor(good, at::kLong);
  for (const int size : {1, 2, 3, 5, 30}) {
    std::vector<at::Tensor> vectors, labels, ids;
    for (int rank = 0; rank < size; ++rank) {
      const Features share = embed_share(dataset, plain_views(), greys,
                                         {.batch = 3, .workers = 2, .rank = rank, .size = size});
      const int64_t begin = 23 * rank / size, end = 23 * (rank + 1) / size;
      const auto owned = std::distance(bad.lower_bound(begin), bad.lower_bound(end));
      EXPECT_EQ(share.left_out, owned);
      EXPECT_EQ(share.first_left_out,
                owned ? "bad " + std::to_string(*bad.lower_bound(begin)) : "");
      EXPECT_EQ(share.vectors.sizes(), (std::vector<int64_t>{end - begin - owned, 2}));
      vectors.push_back(share.vectors);
      labels.push_back(share.labels);
      ids.push_back(share.ids);
    }
    const at::Tensor grey = positions.to(at::kFloat);
    EXPECT_TRUE(at::equal(at::cat(vectors), at::stack({grey, -grey}, 1))) << size;
    EXPECT_TRUE(at::equal(at::cat(labels), positions.remainder(4))) << size;
    EXPECT_TRUE(at::equal(at::cat(ids), positions + 100)) << size;
  }
}

TEST(EmbedShare, ASetThatIsAllBadIsAnError) {
  const auto communicator = testing::one_rank();
  const GreyDataset some(5, {1, 2}), none(3, {0, 1, 2});
  EXPECT_EQ(total_left_out(embed_share(some, plain_views(), greys, {}), some, *communicator), 2);
  const Features nothing = embed_share(none, plain_views(), greys, {});
  EXPECT_EQ(nothing.vectors.sizes(), (std::vector<int64_t>{0, 2}));
  try {
    total_left_out(nothing, none, *communicator);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const DataError& error) {
    EXPECT_EQ(
        std::string(error.what()),
        "greys: not one of its 3 samples can be used, so there is nothing to evaluate; bad 0");
  }
}

TEST(EmbedShare, LetsErrorsOfTheNetworkThrough) {
  const Embed failing = [](const at::Tensor&) -> at::Tensor { throw std::runtime_error("no"); };
  EXPECT_THROW(embed_share(GreyDataset(3), plain_views(), failing, {}), std::runtime_error);
}

/// Three clips of two frames of each sample; the values of clip c of sample s are 10 s + c.
class ThreeClips : public ViewMaker {
 public:
  ThreeClips() : ViewMaker({3, 2, 4, 4}) {}
  void make(int64_t, PhiloxKey, std::span<float* const>) const override {}
  int64_t plain_views() const override { return 3; }
  void make_plain(int64_t position, float* out) const override {
    if (position == 4) throw BadSample("too_short", "short 4");
    for (int64_t clip = 0; clip < 3; ++clip)
      std::fill_n(out + clip * values(), values(), static_cast<float>(10 * position + clip));
  }
  std::vector<Image> originals(int64_t, PhiloxKey) const override { return {}; }
};

class ClipDataset : public GreyDataset {
 public:
  using GreyDataset::GreyDataset;
  std::unique_ptr<ViewMaker> views(const AugmentOptions&) const override {
    return std::make_unique<ThreeClips>();
  }
};

TEST(Embed, AveragesTheFeaturesOfTheClipsOfASample) {
  const ClipDataset dataset(7);
  std::vector<int64_t> sizes;
  const Embed embed = [&](const at::Tensor& clips) {
    EXPECT_EQ(clips.sizes().slice(1), (at::IntArrayRef{3, 2, 4, 4}));
    sizes.push_back(clips.size(0));
    const at::Tensor first = clips.flatten(1).narrow(1, 0, 1);
    return at::cat({first, first * first}, 1);
  };
  const Features all = embed_share(dataset, plain_views(), embed, {.batch = 8, .workers = 2});
  EXPECT_EQ(sizes, (std::vector<int64_t>{6, 6, 3, 3}));  // whole samples, at most 8 clips
  ASSERT_EQ(all.vectors.size(0), 6);
  EXPECT_EQ(all.left_out, 1);
  EXPECT_EQ(all.first_left_out, "short 4");
  for (int64_t row = 0, sample = 0; row < 6; ++row, ++sample) {
    sample += sample == 4;
    const auto s = static_cast<float>(10 * sample);
    const float* features = all.vectors.const_data_ptr<float>() + 2 * row;
    EXPECT_FLOAT_EQ(features[0], s + 1);
    EXPECT_FLOAT_EQ(features[1], (s * s + (s + 1) * (s + 1) + (s + 2) * (s + 2)) / 3);
  }
  // A rank without rows knows the width all the same.
  const Features none =
      embed_share(ClipDataset(1), plain_views(), embed, {.batch = 8, .rank = 0, .size = 2});
  EXPECT_EQ(none.vectors.sizes(), (at::IntArrayRef{0, 2}));
}

}  // namespace
}  // namespace cltrain
