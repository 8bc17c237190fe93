// The best weights: which evaluation wins, when to give up, what a continued run finds.
#include "train/best_weights.h"

#include "models/registry.h"
#include "tests/eval/one_rank.h"

#include <cmath>
#include <limits>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

class BestWeightsTest : public ::testing::Test {
 protected:
  BestWeightsTest() {
    MethodOptions options;
    options.model.name = "small_conv";
    options.model.width = 0.125;
    method_ = make_method(options, 1, *alone_);
  }

  /// Every weight becomes `value`.
  void fill(double value) {
    const c10::NoGradGuard no_grad;
    for (at::Tensor& parameter : method_->parameters()) parameter.fill_(value);
  }
  double value() const { return method_->parameters().front().flatten()[0].item<double>(); }

  std::unique_ptr<Communicator> alone_ = testing::one_rank();
  std::shared_ptr<Method> method_;
};

TEST_F(BestWeightsTest, KeepsTheFirstOfTheBest) {
  BestWeights best(*method_, 3);
  EXPECT_EQ(best.step(), -1);
  for (const auto& [weight, merit] :
       {std::pair(1.0, 0.2), std::pair(2.0, 0.5), std::pair(3.0, 0.5), std::pair(4.0, 0.1)}) {
    fill(weight);
    best.note(*method_, merit, static_cast<int64_t>(10 * weight));
  }
  EXPECT_EQ(best.step(), 20);
  EXPECT_EQ(value(), 4);
  best.restore(*method_);
  EXPECT_EQ(value(), 2);
}

TEST_F(BestWeightsTest, GivesUpAfterSoManyWithoutABetterOne) {
  BestWeights best(*method_, 2);
  best.note(*method_, 0.5, 1);
  best.note(*method_, 0.4, 2);
  EXPECT_FALSE(best.give_up());
  best.note(*method_, 0.6, 3);
  best.note(*method_, 0.6, 4);
  EXPECT_FALSE(best.give_up());
  best.note(*method_, std::nan(""), 5);
  EXPECT_TRUE(best.give_up());
  EXPECT_EQ(best.step(), 3);
}

TEST_F(BestWeightsTest, AStepThatIsNotedAgainCountsOnce) {
  BestWeights best(*method_, 2);
  best.note(*method_, 0.5, 1);
  best.note(*method_, 0.4, 2);
  best.note(*method_, 0.4, 2);
  EXPECT_FALSE(best.give_up());
}

TEST_F(BestWeightsTest, ItsStateIsAllThatAContinuedRunNeeds) {
  BestWeights before(*method_, 2);
  fill(7);
  before.note(*method_, 0.5, 1);
  before.note(*method_, 0.4, 2);
  BestWeights after(*method_, 2);
  const std::vector<StateTensor> from = before.state(), to = after.state();
  ASSERT_EQ(from.size(), to.size());
  for (size_t i = 0; i < from.size(); ++i) {
    EXPECT_EQ(from[i].name, to[i].name);
    EXPECT_TRUE(from[i].name.starts_with("best."));
    at::Tensor(to[i].tensor).copy_(from[i].tensor);
  }
  fill(8);
  after.note(*method_, 0.45, 3);
  EXPECT_TRUE(after.give_up());
  after.restore(*method_);
  EXPECT_EQ(value(), 7);
}

TEST_F(BestWeightsTest, WithoutPatienceNothingIsKept) {
  BestWeights best(*method_, 0);
  EXPECT_TRUE(best.state().empty());
  EXPECT_FALSE(best.kept());
  EXPECT_FALSE(best.give_up());
}

}  // namespace
}  // namespace cltrain
