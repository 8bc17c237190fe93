// embed_share: every position embedded once, by the rank whose row it is.
#include "eval/features.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

/// Pictures of one grey: the position itself. label = position mod 4.
class GreyDataset : public Dataset {
 public:
  explicit GreyDataset(int64_t size) : size_(size) {}
  int64_t size() const override { return size_; }
  int64_t classes() const override { return 4; }
  int64_t label(int64_t position) const override { return position % 4; }
  std::string describe() const override { return "greys"; }
  Image image(int64_t position) const override {
    return {6, 6, std::vector<uint8_t>(108, static_cast<uint8_t>(position))};
  }

 private:
  int64_t size_;
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
    std::vector<at::Tensor> vectors, labels;
    for (int rank = 0; rank < size; ++rank) {
      const Features share = embed_share(dataset, plain_views(), greys,
                                         {.batch = 4, .workers = 2, .rank = rank, .size = size});
      EXPECT_EQ(share.vectors.size(0), 23 * (rank + 1) / size - 23 * rank / size);
      EXPECT_EQ(share.vectors.size(1), 2);
      vectors.push_back(share.vectors);
      labels.push_back(share.labels);
    }
    const at::Tensor positions = at::arange(23, at::kFloat);
    EXPECT_TRUE(at::equal(at::cat(vectors), at::stack({positions, -positions}, 1))) << size;
    EXPECT_TRUE(at::equal(at::cat(labels), at::arange(23, at::kLong).remainder(4))) << size;
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

TEST(EmbedShare, LetsErrorsOfTheNetworkThrough) {
  const Embed failing = [](const at::Tensor&) -> at::Tensor { throw std::runtime_error("no"); };
  EXPECT_THROW(embed_share(GreyDataset(3), plain_views(), failing, {}), std::runtime_error);
}

}  // namespace
}  // namespace cltrain
