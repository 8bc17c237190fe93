// What methods with momentum share: networks that follow, options that do not fit.
#include "models/nets/momentum.h"

#include "models/nets/projection_head.h"
#include "models/options.h"

#include <cmath>
#include <memory>
#include <string>

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

HeadSettings small_head() {
  return {.layers = 2, .hidden = 5, .out = 3, .norm = {.kind = "local"}};
}

TEST(Momentum, CopiesParametersAndBuffersAndFollowsParameters) {
  const auto first = std::make_shared<ProjectionHead>(4, small_head());
  const auto second = std::make_shared<ProjectionHead>(4, small_head());
  ProjectionHead &source = *first, &target = *second;
  initialize(source, 1);
  initialize(target, 2);
  source.named_buffers()["bn1.running_mean"].fill_(3);
  copy_network(source, target);
  for (const auto& item : source.named_parameters()) {
    EXPECT_TRUE(target.named_parameters()[item.key()].equal(item.value())) << item.key();
    EXPECT_FALSE(target.named_parameters()[item.key()].requires_grad()) << item.key();
  }
  EXPECT_EQ(target.named_buffers()["bn1.running_mean"][0].item<double>(), 3);
  const at::Tensor before = target.named_parameters()["linear1.weight"].clone();
  initialize(source, 3);
  source.named_buffers()["bn1.running_mean"].fill_(5);
  follow(source, target, 0.9);
  const at::Tensor expected = 0.9 * before + 0.1 * source.named_parameters()["linear1.weight"];
  EXPECT_TRUE(target.named_parameters()["linear1.weight"].allclose(expected, 1e-6, 1e-7));
  EXPECT_EQ(target.named_buffers()["bn1.running_mean"][0].item<double>(), 3) << "its own";
}

TEST(Momentum, RisesOnACosineToOne) {
  EXPECT_EQ(momentum_at(0.99, "constant", 50, 100), 0.99);
  EXPECT_DOUBLE_EQ(momentum_at(0.99, "cosine", 0, 100), 0.99);
  EXPECT_DOUBLE_EQ(momentum_at(0.99, "cosine", 50, 100), 0.995);
  EXPECT_DOUBLE_EQ(momentum_at(0.99, "cosine", 100, 100), 1);
  EXPECT_NEAR(momentum_at(0.9, "cosine", 25, 100), 1 - 0.1 * (1 + std::sqrt(0.5)) / 2, 1e-12);
}

TEST(MomentumOptions, MistakesAreNamed) {
  const auto expect = [](const MethodOptions& options, int ranks, const std::string& part) {
    const std::vector<std::string> found = problems(options, ranks);
    ASSERT_EQ(found.size(), 1u) << part;
    EXPECT_NE(found[0].find(part), std::string::npos) << found[0];
  };
  MethodOptions options;
  EXPECT_TRUE(problems(options, 4).empty());
  options.name = "moco_v2";
  EXPECT_TRUE(problems(options, 4).empty());
  options.moco.queue = 3;
  expect(options, 4, "moco.queue=3 on 4 ranks");
  options.moco.queue = 4096;
  options.moco.momentum = 1;
  expect(options, 4, "moco.momentum=1 would leave the key encoder");
  options.moco.momentum = 1.5;
  expect(options, 4, "moco.momentum=1.5 would drive the key encoder away");
  options.moco.momentum = 0.99;
  options.model.bn_splits = 6;
  EXPECT_TRUE(problems(options, 3).empty());
  expect(options, 4, "model.bn_splits=6 on 4 ranks");
  options.model.norm = "group";
  expect(options, 2, "not of model.norm=group");
  options = {};
  options.name = "moco_v3";
  options.moco.queue = 4096;
  expect(options, 2, "moco.queue=4096 is an option of moco_v1, moco_v2");
  options.moco = {};
  options.loss.exchange = "balanced";
  expect(options, 2, "loss.exchange=balanced");
}

}  // namespace
}  // namespace cltrain
