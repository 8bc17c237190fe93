// embed_share: every position embedded once, by the rank whose row it is.
#include "eval/features.h"

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
    EXPECT_EQ(std::string(error.what()),
              "greys: not one of its 3 images can be used, so there is nothing to evaluate; bad 0");
  }
}

TEST(EmbedShare, LetsErrorsOfTheNetworkThrough) {
  const Embed failing = [](const at::Tensor&) -> at::Tensor { throw std::runtime_error("no"); };
  EXPECT_THROW(embed_share(GreyDataset(3), plain_views(), failing, {}), std::runtime_error);
}

}  // namespace
}  // namespace cltrain
