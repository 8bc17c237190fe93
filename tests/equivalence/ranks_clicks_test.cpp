// A click-through model on W ranks is one on one rank: loss, every gradient, the state afterwards,
// with dropout and augmentation on; and its AUC.
#include "equivalence/steps.h"
#include "eval/auc.h"
#include "support/ranks.h"

#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::expect_equivalent;
using testing::Setting;
using testing::Trace;

/// 11 rows in batches of 5, 5 and 1: the last leaves ranks without rows.
Setting click_through() {
  Setting setting;
  setting.method.name = "cl4srec_easyrec";
  setting.method.model.name = "backbone";
  setting.method.easyrec.model = CLTRAIN_SOURCE "/tests/equivalence/click_model.yaml";
  setting.method.easyrec.l2_regularization = 0.01;
  setting.method.easyrec.embedding_regularization = 0.02;
  setting.optim.name = "adamw";
  setting.optim.weight_decay = 0;
  setting.optim.lr = 0.01;
  setting.clicks = true;
  setting.samples = 11;
  setting.global_batch = 5;
  return setting;
}

TEST(EquivalenceClicks, RanksAreOneProcess) {
  expect_equivalent(click_through());
}

TEST(EquivalenceClicks, InMicroBatches) {
  Setting setting = click_through();
  setting.micro_batch = 4;
  expect_equivalent(setting);
}

TEST(EquivalenceClicks, MicroBatchesAreTheWholeBatch) {
  const Setting whole = click_through();
  Setting chunks = whole;
  chunks.micro_batch = 4;
  const Trace a = testing::run_steps(chunks, testing::all_ranks());
  const Trace b = testing::run_steps(whole, testing::all_ranks());
  if (testing::world().rank == 0) testing::expect_same_trace(a, b, 1e-9);
}

TEST(EquivalenceClicks, EveryRankHoldsTheSameBits) {
  testing::expect_same_bits_on_every_rank(
      testing::run_steps(click_through(), testing::all_ranks()).state);
}

TEST(EquivalenceClicks, AucIsThatOfAllRows) {
  const at::Tensor scores =
      (at::arange(101, at::kDouble) * 0.77).sin().mul(8).floor();  // with ties
  const at::Tensor labels = ((at::arange(101, at::kDouble) * 1.3).sin() > 0.1).to(at::kFloat);
  const RowRange rows = rank_share(101, testing::world().rank, testing::world().size);
  const AucResult shared =
      area_under_curve(scores.narrow(0, rows.begin, rows.count()),
                       labels.narrow(0, rows.begin, rows.count()), *testing::all_ranks().control);
  const auto solo = testing::alone();
  const AucResult whole = area_under_curve(scores, labels, *solo->control);
  EXPECT_EQ(shared.auc, whole.auc);
  EXPECT_EQ(shared.positives, whole.positives);
  EXPECT_EQ(shared.negatives, whole.negatives);
}

}  // namespace
}  // namespace cltrain
