// MoCo trains on W ranks as on one: losses, gradients, weights, and the queue in content and order.
// 16 samples in batches of 7, 7 and 2 (shares uneven, some empty) for 7 steps; the queue holds 17
// keys, no multiple of any batch, and wraps around in the middle of a push.
#include "equivalence/steps.h"
#include "support/ranks.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::alone;
using testing::expect_equivalent;
using testing::Setting;
using testing::Trace;
using testing::world;

Setting moco(const std::string& name) {
  Setting setting = testing::small_conv();
  setting.method.name = name;
  setting.method.simclr = {};
  setting.method.model.head_layers = 0;
  setting.method.model.head_out = 12;
  setting.method.moco.queue = 17;
  setting.method.moco.momentum = 0.9;
  setting.optim.name = "sgd";
  setting.optim.lr = 0.05;
  setting.steps = 7;
  return setting;
}

Setting moco_v3() {
  Setting setting = moco("moco_v3");
  setting.method.moco = {};
  setting.method.moco_v3.predictor_hidden = 24;
  setting.method.moco_v3.temperature = 0.5;
  // Batches of 6, 6 and 3: of two rows its last norm, which has no scale, leaves the signs alone.
  setting.samples = 15;
  setting.global_batch = 6;
  return setting;
}

/// In 12 slices, which 1, 2, 3 and 4 ranks divide, of three or four rows: batches of 40 and 36.
Setting in_slices(Setting setting) {
  setting.method.model.bn_splits = 12;
  setting.samples = 76;
  setting.global_batch = 40;
  setting.steps = 4;
  return setting;
}

TEST(EquivalenceMoco, V1WithSyncBatchNormInFloat64) {
  expect_equivalent(moco("moco_v1"));
}

TEST(EquivalenceMoco, V2WithSyncBatchNormInFloat64) {
  expect_equivalent(moco("moco_v2"));
}

TEST(EquivalenceMoco, SymmetricInFloat64) {
  Setting setting = moco("moco_v2");
  setting.method.moco.symmetric = true;
  expect_equivalent(setting);
}

TEST(EquivalenceMoco, QueueShorterThanTheBatchInFloat64) {
  Setting setting = moco("moco_v2");
  setting.method.moco.queue = 5;
  expect_equivalent(setting);
}

TEST(EquivalenceMoco, SlicesOfBatchNormWithShuffledKeysInFloat64) {
  expect_equivalent(in_slices(moco("moco_v2")));
}

TEST(EquivalenceMoco, MoreSlicesThanRowsInFloat64) {
  Setting setting = in_slices(moco("moco_v2"));
  setting.samples = 16;
  setting.global_batch = 7;
  expect_equivalent(setting);
}

TEST(EquivalenceMoco, TwoViewsInOnePassAreCutIntoTheSameSlices) {
  expect_equivalent(in_slices(testing::small_conv()));
}

TEST(EquivalenceMoco, LocalBatchNormIsThatOfAsManySlices) {
  // What the paper's code computes on W devices, imitated by one process. Running statistics
  // differ: a device keeps its own, slices keep their mean.
  Setting setting = moco("moco_v2");
  setting.method.model.norm = "local";
  setting.global_batch = 16;
  const Trace shared = testing::run_steps(setting, all_ranks());
  if (world().rank != 0) return;
  setting.method.model.norm = "sync";
  setting.method.model.bn_splits = world().size;
  const Trace imitated = testing::run_steps(setting, *alone());
  for (size_t step = 0; step < shared.losses.size(); ++step) {
    EXPECT_NEAR(shared.losses[step], imitated.losses[step], 1e-9);
    testing::expect_same_gradients(shared.gradients[step], imitated.gradients[step], 1e-9);
  }
  EXPECT_TRUE(shared.state.at("model.queue.keys")
                  .allclose(imitated.state.at("model.queue.keys"), 1e-9, 1e-9));
}

TEST(EquivalenceMoco, ShufflingChangesTheKeys) {
  Setting setting = in_slices(moco("moco_v2"));
  setting.steps = 1;
  const Trace shuffled = testing::run_steps(setting, all_ranks());
  setting.method.moco.shuffle_bn = false;
  const Trace straight = testing::run_steps(setting, all_ranks());
  EXPECT_GT(std::abs(shuffled.losses[0] - straight.losses[0]), 1e-9);
}

TEST(EquivalenceMoco, InChunksInFloat64) {
  Setting setting = moco("moco_v2");
  setting.method.model.norm = "group";
  setting.method.moco.symmetric = true;
  Setting whole = setting;
  setting.micro_batch = 3;
  expect_equivalent(setting);
  if (world().rank != 0) return;
  const auto solo = alone();
  testing::expect_same_trace(testing::run_steps(setting, *solo), testing::run_steps(whole, *solo),
                             1e-9);
}

TEST(EquivalenceMoco, V3InFloat64) {
  expect_equivalent(moco_v3());
}

TEST(EquivalenceMoco, V3ByRingWithANormBehindThePredictorInFloat64) {
  Setting setting = moco_v3();
  setting.method.moco_v3.predictor_last_norm = "true";
  setting.method.loss.exchange = "ring";
  expect_equivalent(setting);
}

TEST(EquivalenceMoco, TheQueueHoldsTheLastKeysInTheirOrder) {
  const Setting setting = moco("moco_v2");
  const auto state = testing::run_steps(setting, all_ranks()).state;
  // 7 + 7 + 2 + 7 + 7 + 2 + 7 = 39 keys: slot 39 mod 17 = 5 is the oldest, of the fourth push.
  EXPECT_EQ(state.at("model.queue.next_slot").item<int64_t>(), 5);
  EXPECT_EQ(state.at("model.queue.pushes").item<int64_t>(), 7);
  const at::Tensor pushed = state.at("model.queue.pushed").roll({-5}, {0});
  const std::vector<int64_t> expected{4, 5, 5, 5, 5, 5, 5, 5, 6, 6, 7, 7, 7, 7, 7, 7, 7};
  ASSERT_EQ(pushed.numel(), 17);
  for (int64_t i = 0; i < 17; ++i)
    EXPECT_EQ(pushed[i].item<int64_t>(), expected[static_cast<size_t>(i)]) << i;
  EXPECT_LT((state.at("model.queue.keys").norm(2, {1}) - 1).abs().max().item<double>(), 1e-9);
}

TEST(EquivalenceMoco, EveryRankHoldsTheSameBits) {
  testing::expect_same_bits_on_every_rank(testing::run_steps(moco("moco_v2"), all_ranks()).state);
  testing::expect_same_bits_on_every_rank(testing::run_steps(moco_v3(), all_ranks()).state);
}

}  // namespace
}  // namespace cltrain
