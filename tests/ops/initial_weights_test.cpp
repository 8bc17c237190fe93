// Keyed initial weights against plain Python (make_golden_random.py) and statistics.
#include "ops/initial_weights.h"

#include <array>
#include <cmath>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

at::Tensor normal(at::IntArrayRef shape, double deviation, uint64_t seed, const char* name,
                  at::ScalarType type = at::kDouble) {
  at::Tensor parameter = at::full(shape, 77, type);
  fill_normal(parameter, deviation, seed, name);
  return parameter;
}

at::Tensor uniform(at::IntArrayRef shape, double bound, uint64_t seed, const char* name,
                   at::ScalarType type = at::kDouble) {
  at::Tensor parameter = at::full(shape, 77, type);
  fill_uniform(parameter, bound, seed, name);
  return parameter;
}

TEST(InitialWeights, PinnedByPlainPython) {
  const std::array<double, 5> gaussian{0.5401372742180415, -0.18482064469400952,
                                       -0.4965748861047829, -0.7534533045534086,
                                       -0.6627745342890001};
  const std::array<double, 5> flat{0.14081096649169922, -0.12861815094947815, 0.15808403491973877,
                                   0.08936065435409546, 0.08150428533554077};
  const at::Tensor weights = normal({5}, 0.5, 1, "encoder.conv1.weight");
  const at::Tensor others = uniform({5}, 0.25, 1, "encoder.conv1.weight");
  for (int i = 0; i < 5; ++i) {
    EXPECT_NEAR(weights[i].item<double>(), gaussian[i], 1e-15);
    EXPECT_EQ(others[i].item<double>(), flat[i]);
  }
}

TEST(InitialWeights, FloatIsTheRoundedDouble) {
  const at::Tensor wide = normal({3, 4, 5}, 0.1, 9, "w"),
                   narrow = normal({3, 4, 5}, 0.1, 9, "w", at::kFloat);
  EXPECT_TRUE(at::equal(narrow, wide.to(at::kFloat)));
  EXPECT_TRUE(
      at::equal(uniform({60}, 0.1, 9, "w", at::kFloat), uniform({60}, 0.1, 9, "w").to(at::kFloat)));
}

TEST(InitialWeights, MomentsAreTheOnesAskedFor) {
  constexpr int64_t kCount = 200000;
  const double unit = 5 / std::sqrt(kCount);
  const at::Tensor gaussian = normal({kCount}, 2.0, 3, "a");
  EXPECT_NEAR(gaussian.mean().item<double>(), 0, 2 * unit);
  EXPECT_NEAR(gaussian.square().mean().item<double>(), 4, 4 * unit * std::sqrt(2));
  EXPECT_NEAR(gaussian.pow(4).mean().item<double>(), 48, 16 * unit * std::sqrt(96));
  const at::Tensor flat = uniform({kCount}, 2.0, 3, "a");
  EXPECT_NEAR(flat.mean().item<double>(), 0, 2 * unit * std::sqrt(1.0 / 3));
  EXPECT_NEAR(flat.square().mean().item<double>(), 4.0 / 3, 4 * unit * std::sqrt(4.0 / 45));
  EXPECT_GE(flat.min().item<double>(), -2.0);
  EXPECT_LT(flat.max().item<double>(), 2.0);
}

TEST(InitialWeights, ThreadsAndOrderChangeNoBit) {
  at::set_num_threads(1);
  const at::Tensor first = normal({300, 401}, 1, 5, "first"), second = normal({50}, 1, 5, "second");
  at::set_num_threads(2);
  EXPECT_TRUE(at::equal(normal({50}, 1, 5, "second"), second));
  EXPECT_TRUE(at::equal(normal({300, 401}, 1, 5, "first"), first));
}

TEST(InitialWeights, NameAndSeedChangeThem) {
  const at::Tensor base = normal({1000}, 1, 5, "layer1.weight");
  EXPECT_GT(at::ne(base, normal({1000}, 1, 5, "layer2.weight")).sum().item<int64_t>(), 990);
  EXPECT_GT(at::ne(base, normal({1000}, 1, 6, "layer1.weight")).sum().item<int64_t>(), 990);
}

TEST(InitialWeights, FillsParametersInPlaceWithoutAGraph) {
  at::Tensor parameter = at::zeros({2, 3}, at::kFloat).requires_grad_();
  const void* before = parameter.data_ptr();
  fill_normal(parameter, 1, 1, "p");
  EXPECT_EQ(parameter.data_ptr(), before);
  EXPECT_TRUE(parameter.is_leaf());
  at::Tensor scattered = at::zeros({4, 3}, at::kDouble).t();
  fill_uniform(scattered, 1, 1, "p");
  EXPECT_TRUE(at::equal(scattered, uniform({3, 4}, 1, 1, "p")));
}

}  // namespace
}  // namespace cltrain
