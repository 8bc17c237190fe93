// VideoMoCo trains on W ranks as on one: both networks, both losses, and the queue. Clips of 8
// frames of 32 pixels; the generator plays from the third of six steps on.
#include "equivalence/steps.h"
#include "support/ranks.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::expect_equivalent;
using testing::Setting;
using testing::Trace;
using testing::world;

Setting videomoco() {
  Setting setting;
  setting.method.name = "videomoco";
  setting.method.model.name = "r3d18";
  setting.method.model.width = 0.0625;
  setting.method.model.head_out = 12;
  setting.method.videomoco.queue = 17;
  setting.method.videomoco.momentum = 0.9;
  setting.method.videomoco.decay = 0.9;
  setting.method.videomoco.generator_start = 0.34;
  setting.optim.name = "sgd";
  setting.optim.lr = 0.005;
  setting.samples = 21;
  setting.global_batch = 9;
  setting.frames = 8;
  setting.image_size = 32;  // layer4 has four places, not one: batch norm of three clips is sound
  setting.steps = 6;
  return setting;
}

TEST(EquivalenceVideoMoco, TwoPhasesInFloat64) {
  expect_equivalent(videomoco());
}

TEST(EquivalenceVideoMoco, OnePhaseForBothInFloat64) {
  Setting setting = videomoco();
  setting.method.videomoco.joint = true;
  expect_equivalent(setting);
}

TEST(EquivalenceVideoMoco, SlicesOfBatchNormInFloat64) {
  Setting setting = videomoco();
  setting.method.model.bn_splits = 12;
  setting.samples = 36;
  setting.global_batch = 36;
  setting.steps = 3;
  expect_equivalent(setting);
}

TEST(EquivalenceVideoMoco, TheGeneratorWantsChangeAndTheEncoderDoesNotFeelIt) {
  Setting setting = videomoco();
  const Trace trace = testing::run_steps(setting, all_ranks());
  // Steps 1, 2, 3: the encoder; 4, 5, 6: generator, then encoder.
  ASSERT_EQ(trace.losses.size(), 9U);
  for (const size_t generator : {3U, 5U, 7U}) EXPECT_LT(trace.losses[generator], 0);
  for (const size_t encoder : {0U, 4U, 6U, 8U}) EXPECT_GT(trace.losses[encoder], 0);
  EXPECT_FALSE(trace.gradients[0].contains("generator.score.weight"));
  EXPECT_GT(trace.gradients[3].at("generator.score.weight").norm().item<double>(), 0);
  // Without the generator's weight the encoder's gradients are those they were.
  setting.method.videomoco.generator_weight = 0;
  setting.steps = 4;
  setting.method.videomoco.generator_start = 0.75;
  const Trace unweighted = testing::run_steps(setting, all_ranks());
  for (const auto& [name, gradient] : unweighted.gradients[3])
    if (name.starts_with("generator.")) {
      EXPECT_EQ(gradient.norm().item<double>(), 0) << name;
    }
}

}  // namespace
}  // namespace cltrain
