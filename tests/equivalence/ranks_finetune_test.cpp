// Fine-tuning on W ranks is fine-tuning on one: 16 samples, three of them without a label, in
// batches of 7, 7 and 2: a rank may have rows and no label, or no rows at all.
#include "equivalence/steps.h"
#include "support/ranks.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::expect_equivalent;
using testing::Setting;
using testing::Trace;

Setting finetune() {
  Setting setting = testing::small_conv();
  setting.method.name = "finetune";
  setting.optim.name = "sgd";
  setting.optim.lr = 0.05;
  setting.classes = 3;
  return setting;
}

TEST(EquivalenceFinetune, SmallConvInFloat64) {
  expect_equivalent(finetune());
}

TEST(EquivalenceFinetune, ResNetWithLabelSmoothingAndLarsInFloat64) {
  Setting setting = finetune();
  setting.method.model.name = "resnet18";
  setting.method.finetune.label_smoothing = 0.1;
  setting.optim.name = "lars";
  setting.optim.lr = 0.5;
  expect_equivalent(setting);
}

TEST(EquivalenceFinetune, ClipsInFloat64) {
  Setting setting = finetune();
  setting.method.model.name = "r3d18";
  setting.method.model.width = 0.125;
  setting.frames = 4;
  setting.image_size = 32;  // layer4 has four places, not one: batch norm of two clips is sound
  expect_equivalent(setting);
}

TEST(EquivalenceFinetune, MicroBatchesInFloat64) {
  Setting setting = finetune();
  setting.micro_batch = 4;
  expect_equivalent(setting);
}

// With group norm nothing but the chunks' order of sums is left of micro-batches.
TEST(EquivalenceFinetune, MicroBatchesAreTheWholeBatchInFloat64) {
  Setting whole = finetune();
  whole.method.model.norm = "group";
  Setting chunks = whole;
  chunks.micro_batch = 4;
  const Trace a = testing::run_steps(chunks, testing::all_ranks());
  const Trace b = testing::run_steps(whole, testing::all_ranks());
  if (testing::world().rank == 0) testing::expect_same_trace(a, b, 1e-9);
}

// The comparison can fail: with every rank's own statistics the losses differ.
TEST(EquivalenceFinetune, LocalBatchNormIsNotEquivalent) {
  if (testing::world().size == 1) return;
  Setting setting = finetune();
  setting.method.model.norm = "local";
  setting.steps = 2;
  const auto traces = testing::on_all_ranks_and_alone(setting);
  if (!traces) return;
  EXPECT_GT(std::abs(traces->first.losses[1] - traces->second.losses[1]), 1e-6);
}

TEST(EquivalenceFinetune, EveryRankHoldsTheSameBits) {
  testing::expect_same_bits_on_every_rank(
      testing::run_steps(finetune(), testing::all_ranks()).state);
}

}  // namespace
}  // namespace cltrain
