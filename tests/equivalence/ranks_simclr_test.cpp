// The headline test: W ranks with different samples train exactly as one rank with all of them.
// 16 samples in batches of 7, 7 and 2: uneven shares at every W > 1, and at W = 3 and 4 the last
// batch of an epoch leaves ranks empty.
#include "equivalence/steps.h"
#include "support/ranks.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::expect_equivalent;
using testing::resnet18;
using testing::Setting;
using testing::small_conv;
using testing::Trace;
using testing::world;

TEST(EquivalenceSimclr, Resnet18WholeStepsInFloat64) {
  expect_equivalent(resnet18());
}

TEST(EquivalenceSimclr, SmallConvWithThreeLayerHeadInFloat64) {
  expect_equivalent(small_conv());
}

TEST(EquivalenceSimclr, GroupNormAndAdamWInFloat64) {
  Setting setting = small_conv();
  setting.method.model.norm = "group";
  setting.optim.name = "adamw";
  setting.optim.lr = 1e-3;
  expect_equivalent(setting);
}

TEST(EquivalenceSimclr, SgdWithNesterovInFloat64) {
  Setting setting = small_conv();
  setting.optim.name = "sgd";
  setting.optim.nesterov = true;
  setting.optim.lr = 0.05;
  expect_equivalent(setting);
}

// With its patch projection as it was drawn, which no optimiser and no sum of gradients meets.
TEST(EquivalenceSimclr, VisionTransformerWithSgdInFloat64) {
  Setting setting = small_conv();
  setting.method.model.name = "vit_small";
  setting.method.model.width = 0.25;
  setting.method.model.patch = 8;
  setting.optim.name = "sgd";
  setting.optim.lr = 0.05;
  auto traces = testing::on_all_ranks_and_alone(setting);
  if (!traces) return;
  // The head's first norm takes a shift of all features away: the gradient of the encoder's last
  // shift is zero but for rounding, and so is what it becomes.
  for (Trace* trace : {&traces->first, &traces->second})
    EXPECT_EQ(std::erase_if(trace->state,
                            [](const auto& item) {
                              if (!item.first.ends_with("encoder.norm.bias")) return false;
                              EXPECT_LT(item.second.norm().template item<double>(), 1e-12);
                              return true;
                            }),
              2u)
        << "the parameter and its velocity";
  testing::expect_same_trace(traces->first, traces->second, 1e-9);
}

TEST(EquivalenceSimclr, FirstStepInFloat32) {
  // As configs train it: float32 amplifies rounding the more, the smaller the batch and the deeper
  // the residual branches are at first.
  Setting setting = resnet18();
  setting.method.model.zero_init_residual = true;
  setting.type = at::kFloat;
  setting.global_batch = 14;
  setting.steps = 1;
  const auto traces = testing::on_all_ranks_and_alone(setting);
  if (!traces) return;
  const auto& [shared, single] = *traces;
  EXPECT_NEAR(shared.losses[0], single.losses[0], 1e-5 * single.losses[0]);
  testing::expect_same_gradients(shared.gradients[0], single.gradients[0], 1e-3);
}

TEST(EquivalenceSimclr, TheTestHasUnevenAndEmptyShares) {
  Setting setting = small_conv();
  const Trace trace = testing::run_steps(setting, all_ranks());
  if (world().size == 1) return;
  const auto rows = [&](size_t step) { return trace.cuts[step].rank_rows(); };
  EXPECT_NE(rows(0).front(), rows(0).back());
  if (world().size > 2) {
    int64_t smallest = 99;
    for (const int64_t count : rows(2)) smallest = std::min(smallest, count);
    EXPECT_EQ(smallest, 0);
  }
}

TEST(EquivalenceSimclr, LocalBatchNormIsNotEquivalent) {
  // The comparison can fail: local statistics differ from the global batch's.
  if (world().size == 1) return;
  Setting setting = small_conv();
  setting.method.model.norm = "local";
  setting.global_batch = 8;
  setting.steps = 1;
  const auto traces = testing::on_all_ranks_and_alone(setting);
  if (!traces) return;
  const auto& [shared, single] = *traces;
  EXPECT_GT(std::abs(shared.losses[0] - single.losses[0]), 1e-6);
}

TEST(EquivalenceSimclr, EveryRankHoldsTheSameBits) {
  testing::expect_same_bits_on_every_rank(testing::run_steps(small_conv(), all_ranks()).state);
}

}  // namespace
}  // namespace cltrain
