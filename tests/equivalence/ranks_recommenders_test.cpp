// Recommenders on W ranks are recommenders on one: loss, every gradient, the state afterwards, with
// dropout on. 11 users in batches of 5, 5 and 1: the last leaves ranks without rows.
#include "equivalence/steps.h"
#include "support/ranks.h"

#include <cmath>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::expect_equivalent;
using testing::Setting;
using testing::Trace;

Setting recommender(const std::string& name) {
  Setting setting;
  setting.method.name = name;
  setting.method.model.name = "item_transformer";
  setting.method.model.hidden = 12;
  setting.method.model.dropout = 0.3;
  setting.method.model.attention_dropout = 0.2;
  setting.optim.name = "adamw";
  setting.optim.weight_decay = 0;
  setting.optim.lr = 0.01;
  setting.samples = 11;
  setting.items = 20;
  setting.global_batch = 5;
  return setting;
}

TEST(EquivalenceRecommenders, Sasrec) {
  expect_equivalent(recommender("sasrec"));
}

TEST(EquivalenceRecommenders, SasrecInMicroBatches) {
  Setting setting = recommender("sasrec");
  setting.micro_batch = 4;
  expect_equivalent(setting);
}

TEST(EquivalenceRecommenders, Cl4srecByTheLastSlot) {
  expect_equivalent(recommender("cl4srec"));
}

TEST(EquivalenceRecommenders, Cl4srecByTheMeanAndCosine) {
  Setting setting = recommender("cl4srec");
  setting.method.cl4srec.contrast.vector = "mean";
  setting.method.cl4srec.contrast.normalize = true;
  setting.method.cl4srec.contrast.temperature = 0.5;
  expect_equivalent(setting);
}

TEST(EquivalenceRecommenders, CoserecWithOnlineSimilarity) {
  Setting setting = recommender("coserec");
  setting.method.coserec.online_from = 1;
  setting.steps = 7;  // views of the third epoch know the items of the second
  expect_equivalent(setting);
}

TEST(EquivalenceRecommenders, SrmaByAllSlotsWithASharedDraw) {
  expect_equivalent(recommender("srma"));
}

TEST(EquivalenceRecommenders, SrmaWithADrawForEachView) {
  Setting setting = recommender("srma");
  setting.method.srma.layer_draw = "per_view";
  setting.method.srma.layer_kind = "inter";
  setting.method.srma.layers_in_training = true;
  expect_equivalent(setting);
}

TEST(EquivalenceRecommenders, SrmaByProbabilityWithoutNeuronMasking) {
  Setting setting = recommender("srma");
  setting.method.srma.keep_below = 0.6;
  setting.method.srma.layer_kind = "sasrec";
  setting.method.srma.neuron_masking = false;
  setting.steps = 3;
  expect_equivalent(setting);
}

TEST(EquivalenceRecommenders, SrmaWithAComplement) {
  Setting setting = recommender("srma");
  setting.method.srma.complement = "an encoder with its first weights";
  expect_equivalent(setting);
  setting.method.srma.complement_dropout = true;
  setting.steps = 2;
  expect_equivalent(setting);
}

TEST(EquivalenceRecommenders, SrmaInMicroBatchesIsTheWholeBatch) {
  const Setting whole = recommender("srma");
  Setting chunks = whole;
  chunks.micro_batch = 4;
  const Trace a = testing::run_steps(chunks, testing::all_ranks());
  const Trace b = testing::run_steps(whole, testing::all_ranks());
  if (testing::world().rank == 0) testing::expect_same_trace(a, b, 1e-9);
}

TEST(EquivalenceRecommenders, EveryRankHoldsTheSameBits) {
  Setting setting = recommender("coserec");
  setting.method.coserec.online_from = 1;
  testing::expect_same_bits_on_every_rank(testing::run_steps(setting, testing::all_ranks()).state);
}

// In float32 dot products of the flattened vectors reach thousands: the first step, to 1e-3.
TEST(EquivalenceRecommenders, SrmaFirstStepInFloat32) {
  Setting setting = recommender("srma");
  setting.type = at::kFloat;
  setting.steps = 1;
  const auto traces = testing::on_all_ranks_and_alone(setting);
  if (!traces) return;
  EXPECT_NEAR(traces->first.losses[0], traces->second.losses[0],
              1e-4 * std::abs(traces->second.losses[0]));
  testing::expect_same_gradients(traces->first.gradients[0], traces->second.gradients[0], 1e-3);
}

// The comparison can fail: without the draws of dropout being keyed by the user it would.
TEST(EquivalenceRecommenders, OtherUsersHaveOtherMasks) {
  Setting setting = recommender("sasrec");
  setting.steps = 1;
  const Trace dropped = testing::run_steps(setting, testing::all_ranks());
  setting.method.model.dropout = 0;
  setting.method.model.attention_dropout = 0;
  const Trace whole = testing::run_steps(setting, testing::all_ranks());
  EXPECT_GT(std::abs(dropped.losses[0] - whole.losses[0]), 1e-6);
}

}  // namespace
}  // namespace cltrain
