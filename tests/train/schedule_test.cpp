// Learning rates at points computed by hand.
#include "train/schedule.h"

#include <cmath>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

TEST(PeakLearningRate, BothScalingsOfThePaperMeetAt4096) {
  EXPECT_DOUBLE_EQ(peak_learning_rate({.lr = 0.3, .scaling = "linear"}, 4096), 4.8);
  EXPECT_DOUBLE_EQ(peak_learning_rate({.lr = 0.075, .scaling = "sqrt"}, 4096), 4.8);
  EXPECT_DOUBLE_EQ(peak_learning_rate({.lr = 0.3, .scaling = "none"}, 4096), 0.3);
  EXPECT_DOUBLE_EQ(peak_learning_rate({.lr = 0.3, .scaling = "linear"}, 256), 0.3);
  EXPECT_DOUBLE_EQ(peak_learning_rate({.lr = 0.3, .scaling = "linear"}, 64), 0.075);
  EXPECT_DOUBLE_EQ(peak_learning_rate({.lr = 0.3, .scaling = "sqrt"}, 1), 0.3);
}

TEST(TotalSteps, StepsGoBeforeEpochs) {
  EXPECT_EQ(total_steps({.epochs = 3, .steps = 0}, 7), 21);
  EXPECT_EQ(total_steps({.epochs = 3, .steps = 5}, 7), 5);
}

TEST(LearningRate, RisesThenFallsAsACosine) {
  // 10 steps an epoch: 20 steps of warm-up, 80 of cosine.
  const OptimOptions options{.schedule = "cosine", .warmup_epochs = 2};
  const auto at = [&](int64_t step) { return learning_rate(options, 4.0, step, 100, 10); };
  EXPECT_DOUBLE_EQ(at(0), 0.2);
  EXPECT_DOUBLE_EQ(at(9), 2.0);
  EXPECT_DOUBLE_EQ(at(19), 4.0);
  EXPECT_DOUBLE_EQ(at(20), 4.0);
  EXPECT_DOUBLE_EQ(at(40), 2 + std::sqrt(2.0));  // a quarter of the way: (1 + cos 45 degrees) / 2
  EXPECT_DOUBLE_EQ(at(60), 2.0);
  EXPECT_DOUBLE_EQ(at(80), 2 - std::sqrt(2.0));
  EXPECT_NEAR(at(99), 4 * std::pow(std::sin(M_PI / 160), 2), 1e-12);  // cos^2 of the half angle
  EXPECT_NEAR(at(100), 0, 1e-15);
  EXPECT_NEAR(at(1000), 0, 1e-15);
  for (int64_t step = 20; step < 99; ++step) EXPECT_GT(at(step), at(step + 1));
}

TEST(LearningRate, ConstantAfterTheWarmUp) {
  const OptimOptions options{.schedule = "constant", .warmup_epochs = 0.5};
  EXPECT_DOUBLE_EQ(learning_rate(options, 3.0, 0, 50, 6), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate(options, 3.0, 2, 50, 6), 3.0);
  EXPECT_DOUBLE_EQ(learning_rate(options, 3.0, 49, 50, 6), 3.0);
}

TEST(LearningRate, NoWarmUpAndShortRuns) {
  const OptimOptions cosine{.schedule = "cosine", .warmup_epochs = 0};
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 3.0, 0, 50, 6), 3.0);
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 3.0, 0, 1, 6), 3.0);
  // A run that ends within its warm-up never reaches the peak.
  const OptimOptions slow{.schedule = "cosine", .warmup_epochs = 10};
  EXPECT_DOUBLE_EQ(learning_rate(slow, 3.0, 19, 20, 6), 1.0);
}

}  // namespace
}  // namespace cltrain
