// The layers of backbones, each by itself: SeqAugment's operations on rows that can be read off,
// BST against PyTorch's own transformer (make_golden_bst.py), MLP and AuxiliaryLoss.
#include "models/backbone/bst.h"
#include "models/backbone/layers.h"
#include "models/backbone/seq_augment.h"
#include "models/nets/layers.h"
#include "tests/models/golden.h"
#include "tests/models/model_text.h"

#include <algorithm>
#include <set>

namespace cltrain {
namespace {

using testing::config_error;
using testing::filled;
using testing::yaml_of;

std::shared_ptr<BlockLayer> layer_of(const std::string& name, const std::string& options) {
  Mistakes mistakes;
  auto layer = make_layer(name, yaml_of(options), mistakes);
  mistakes.throw_if_any();
  return layer;
}

BlockValue called(BlockLayer& layer, const std::vector<BlockValue>& inputs,
                  const BackboneDraws& draws = {}, uint32_t call = 0) {
  std::vector<AuxiliaryPair> pairs;
  return layer.forward(inputs, {draws, call, 0, pairs});
}

struct Steps {
  std::vector<int64_t> from;
  int64_t length;
};

Steps augmented(const SeqAugmentSettings& settings, int64_t length, uint64_t sample,
                int64_t slots = 12) {
  KeyedStream draw(random_key(7, Purpose::kAugmentation, 0), sample, 0, 0);
  Steps steps{std::vector<int64_t>(static_cast<size_t>(slots)), 0};
  steps.length = augment_steps(settings, length, draw, slots, steps.from.data());
  return steps;
}

TEST(SeqAugmentSteps, CropKeepsARunOfTheShare) {
  std::set<int64_t> starts;
  for (uint64_t sample = 0; sample < 200; ++sample) {
    const Steps steps = augmented({0, 0.35, 0}, 10, sample);
    ASSERT_EQ(steps.length, 3);  // floor(3.5)
    for (size_t i = 0; i < 12; ++i)
      EXPECT_EQ(steps.from[i], i < 3 ? steps.from[0] + static_cast<int64_t>(i) : kNoStep);
    starts.insert(steps.from[0]);
  }
  EXPECT_EQ(starts, (std::set<int64_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  for (const int64_t length : {1, 2, 3, 4})
    EXPECT_EQ(augmented({0, 0.2, 0}, length, 1).length, 1);  // at least one
}

TEST(SeqAugmentSteps, MaskHidesTheShareAndMovesNothing) {
  std::vector<int> hidden(10);
  for (uint64_t sample = 0; sample < 1000; ++sample) {
    const Steps steps = augmented({0.67, 1, 0}, 10, sample);
    ASSERT_EQ(steps.length, 10);
    EXPECT_EQ(std::ranges::count(steps.from, kMaskStep), 6);
    for (size_t i = 0; i < 10; ++i) {
      hidden[i] += steps.from[i] == kMaskStep;
      if (steps.from[i] != kMaskStep) {
        EXPECT_EQ(steps.from[i], static_cast<int64_t>(i));
      }
    }
    EXPECT_EQ(steps.from[10], kNoStep);
  }
  for (const int count : hidden) EXPECT_NEAR(count, 600, 4 * std::sqrt(1000 * 0.6 * 0.4));
}

TEST(SeqAugmentSteps, ReorderShufflesARunOfTheShare) {
  int moved = 0;
  for (uint64_t sample = 0; sample < 200; ++sample) {
    const Steps steps = augmented({0, 1, 0.4}, 10, sample);
    ASSERT_EQ(steps.length, 10);
    std::vector<int64_t> sorted(steps.from.begin(), steps.from.begin() + 10);
    size_t first = 10, last = 0;
    for (size_t i = 0; i < 10; ++i)
      if (sorted[i] != static_cast<int64_t>(i)) first = std::min(first, i), last = i;
    if (first < 10) {
      EXPECT_LT(last - first, 4u);
    }
    moved += first < 10;
    std::ranges::sort(sorted);
    for (size_t i = 0; i < 10; ++i) EXPECT_EQ(sorted[i], static_cast<int64_t>(i));
  }
  EXPECT_GT(moved, 180);  // 23 of 24 orders move something
}

TEST(SeqAugmentSteps, OperationsAreEquallyLikelyAndCanBeOff) {
  int crops = 0, masks = 0, others = 0;
  for (uint64_t sample = 0; sample < 3000; ++sample) {
    const Steps steps = augmented({}, 10, sample);
    if (steps.length == 2)
      ++crops;
    else if (std::ranges::count(steps.from, kMaskStep) == 6)
      ++masks;
    else
      ++others;
  }
  for (const int count : {crops, masks, others})
    EXPECT_NEAR(count, 1000, 4 * std::sqrt(3000 * 2.0 / 9));
  EXPECT_EQ(augmented({}, 0, 5).length, 0);
  EXPECT_EQ(augmented({0.6, 0.2, 0.6}, 12, 5).from.size(), 12u);
}

TEST(SeqAugment, PicksStepsAndTheLearnedVector) {
  const auto layer = layer_of("SeqAugment", "{mask_rate: 0.5, crop_rate: 1, reorder_rate: 0}");
  const BlockValue input{.features = filled("target", {3, 2}),
                         .sequence = filled("steps", {3, 4, 2}),
                         .lengths = at::tensor({4, 2, 0}, at::kLong)};
  layer->build({input});
  layer->to(at::kDouble);
  at::Tensor mask = layer->named_parameters()["mask"];
  mask.detach().copy_(at::tensor({7.0, 8.0}, at::kDouble));
  const BlockValue plain = called(*layer, {input});
  EXPECT_TRUE(plain.sequence.equal(input.sequence));
  EXPECT_FALSE(plain.features.defined());
  const BackboneDraws draws = testing::draws_of(3);
  const BlockValue view = called(*layer, {input}, draws);
  EXPECT_TRUE(view.lengths.equal(input.lengths));
  const at::Tensor masked = (view.sequence == mask).all(2);
  EXPECT_TRUE(masked.sum(1).equal(at::tensor({2, 1, 0}, at::kLong)));
  const at::Tensor known = at::arange(4).unsqueeze(0) < input.lengths.unsqueeze(1);
  const at::Tensor expected =
      at::where(masked.unsqueeze(2), mask, input.sequence * known.unsqueeze(2).to(at::kDouble));
  EXPECT_TRUE(view.sequence.equal(expected));
  EXPECT_TRUE(called(*layer, {input}, draws).sequence.equal(view.sequence));
  bool other = false;
  for (const uint32_t call : {1u, 2u, 3u})
    other |= !called(*layer, {input}, draws, call).sequence.equal(view.sequence);
  EXPECT_TRUE(other) << "calls draw alike";
  // A sample's view does not depend on its neighbours.
  const BlockValue second{{}, input.sequence.narrow(0, 1, 2), input.lengths.narrow(0, 1, 2)};
  EXPECT_TRUE(called(*layer, {second}, testing::draws_of(2, 1))
                  .sequence.equal(view.sequence.narrow(0, 1, 2)));
  view.sequence.sum().backward();
  EXPECT_TRUE(mask.grad().equal(at::tensor({3.0, 3.0}, at::kDouble)));
  EXPECT_NE(config_error([] {
              layer_of("SeqAugment", "{mask_rate: 0, crop_rate: 1, reorder_rate: 0}");
            }).find("model.yaml:1:1: SeqAugment with every operation off"),
            std::string::npos);
  EXPECT_NE(
      config_error([] { layer_of("SeqAugment", "{mask_rat: 0.5}"); }).find("nearest: mask_rate"),
      std::string::npos);
}

const std::string kSmallBst =
    "hidden_size: 8, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 12, "
    "max_position_embeddings: 4, hidden_dropout_prob: 0.3";

BlockValue bst_input() {
  return {.features = filled("target in", {5, 5}),
          .sequence = filled("steps in", {5, 4, 6}),
          .lengths = at::tensor({4, 1, 3, 2, 4}, at::kLong)};
}

std::shared_ptr<BlockLayer> filled_bst(const std::string& more) {
  const auto layer = layer_of("BST", "{" + kSmallBst + more + "}");
  layer->build({bst_input()});
  layer->to(at::kDouble);
  testing::fill(*layer);
  return layer;
}

TEST(Bst, ComputesWhatPytorchsTransformerDoes) {
  const testing::Golden golden("bst.txt");
  const BlockValue input = bst_input();
  const auto head = filled_bst("");
  const BlockValue output = called(*head, {input});
  EXPECT_LT(golden.error_of(output.sequence, "head"), 1e-12);
  EXPECT_TRUE(output.lengths.equal(input.lengths + 1));
  (output.sequence * filled("upstream", {5, 5, 8})).sum().backward();
  std::map<std::string, at::Tensor> gradients;
  for (const auto& item : head->named_parameters()) gradients[item.key()] = item.value().grad();
  golden.expect_summaries(gradients, "gradients", 1e-11, 1);

  const BlockValue tail = called(*filled_bst(", target_item_position: tail"), {input});
  EXPECT_LT(golden.error_of(at::cat({tail.sequence, tail.features.unsqueeze(1)}, 1), "tail"),
            1e-12);
  const BlockValue ignored = called(*filled_bst(", target_item_position: ignore"), {input});
  EXPECT_LT(golden.error_of(ignored.sequence, "ignore"), 1e-12);
  EXPECT_TRUE(ignored.lengths.equal(input.lengths));
}

TEST(Bst, OneSlotIsTheTargetsOrTheFirst) {
  const BlockValue input = bst_input();
  const std::string one = ", output_all_token_embeddings: false";
  const auto slot = [&](const std::string& more) {
    return called(*filled_bst(one + more), {input}).features;
  };
  EXPECT_TRUE(slot("").equal(called(*filled_bst(""), {input}).sequence.select(1, 0)));
  const std::string tail = ", target_item_position: tail";
  EXPECT_TRUE(slot(tail).equal(called(*filled_bst(tail), {input}).features));
  const std::string ignore = ", target_item_position: ignore";
  EXPECT_TRUE(slot(ignore).equal(called(*filled_bst(ignore), {input}).sequence.select(1, 0)));
}

TEST(Bst, AReservedPositionKeepsStepsWhereTheyAre) {
  const auto layer = filled_bst("");
  const auto free = filled_bst(", reserve_target_position: false");
  BlockValue without = bst_input();
  without.features = at::Tensor();
  const at::Tensor positions = layer->named_parameters()["positions"];
  const at::Tensor reserved = called(*layer, {without}).sequence;
  // Positions moved up by hand give the same where nothing is reserved.
  free->named_parameters()["positions"].detach().narrow(0, 0, 4).copy_(positions.narrow(0, 1, 4));
  EXPECT_TRUE(called(*free, {without}).sequence.equal(reserved));
  EXPECT_FALSE(
      called(*filled_bst(", reserve_target_position: false"), {without}).sequence.equal(reserved));
}

TEST(Bst, WhatIsBehindTheLengthIsNotSeen) {
  const auto layer = filled_bst("");
  const BlockValue input = bst_input();
  BlockValue other = input;
  other.sequence = input.sequence.clone();
  other.sequence[1].narrow(0, 1, 3).fill_(5);  // row 1 has one step
  const at::Tensor a = called(*layer, {input}).sequence, b = called(*layer, {other}).sequence;
  EXPECT_TRUE(a[1].narrow(0, 0, 2).equal(b[1].narrow(0, 0, 2)));
  EXPECT_FALSE(a[1].equal(b[1]));
  other.lengths = at::zeros({5}, at::kLong);
  other.features = at::Tensor();
  EXPECT_TRUE(called(*layer, {other}).sequence.isfinite().all().item<bool>());
}

TEST(Bst, DropoutIsKeyedByTheSample) {
  const auto layer = filled_bst("");
  const BlockValue input = bst_input();
  const at::Tensor dropped = called(*layer, {input}, testing::draws_of(5)).sequence;
  EXPECT_FALSE(dropped.equal(called(*layer, {input}).sequence));
  EXPECT_TRUE(dropped.equal(called(*layer, {input}, testing::draws_of(5)).sequence));
  EXPECT_FALSE(dropped.equal(called(*layer, {input}, testing::draws_of(5), 1).sequence));
  const BlockValue part{input.features.narrow(0, 2, 3), input.sequence.narrow(0, 2, 3),
                        input.lengths.narrow(0, 2, 3)};
  EXPECT_LT((called(*layer, {part}, testing::draws_of(3, 2)).sequence - dropped.narrow(0, 2, 3))
                .abs()
                .max()
                .item<double>(),
            1e-12);
}

TEST(Bst, RefusesWhatItCannotTake) {
  EXPECT_NE(config_error([] { layer_of("BST", "{hidden_size: 8}"); }).find("intermediate_size"),
            std::string::npos);
  EXPECT_NE(config_error([] {
              layer_of("BST",
                       "{hidden_size: 9, num_hidden_layers: 1, num_attention_heads: 2, "
                       "intermediate_size: 3}");
            }).find("cannot be shared by 2 heads"),
            std::string::npos);
  BlockValue longer = bst_input();
  longer.sequence = at::zeros({5, 5, 6});
  const auto layer = layer_of("BST", "{" + kSmallBst + "}");
  EXPECT_NE(config_error([&] { layer->build({longer}); }).find("max_position_embeddings=4"),
            std::string::npos);
  EXPECT_NE(config_error([&] {
              layer->build({{.features = at::zeros({2, 3})}});
            }).find("takes one sequence"),
            std::string::npos);
  layer->build({bst_input()});
  BlockValue wider = bst_input();
  wider.sequence = at::zeros({5, 4, 7});
  EXPECT_NE(config_error([&] {
              layer->build({wider});
            }).find("called with 7 channels, and before with 6"),
            std::string::npos);
}

TEST(Mlp, IsLinearLayersWithRelu) {
  const auto layer = layer_of("MLP", "{hidden_units: [4, 3]}");
  const at::Tensor a = filled("a", {5, 2}), b = filled("b", {5, 3});
  layer->build({{.features = a}, {.features = b}});
  layer->to(at::kDouble);
  testing::fill(*layer);
  const auto weights = layer->named_parameters();
  at::Tensor x = at::cat({a, b}, 1);
  for (const std::string name : {"linear0", "linear1"})
    x = (x.matmul(weights[name + ".weight"].t()) + weights[name + ".bias"]).clamp_min(0);
  EXPECT_LT(
      (called(*layer, {{.features = a}, {.features = b}}).features - x).abs().max().item<double>(),
      1e-14);
}

TEST(AuxiliaryLoss, HandsOnItsTwoInputs) {
  const auto layer = layer_of("AuxiliaryLoss", "{loss_type: info_nce, temperature: 0.2}");
  EXPECT_EQ(auxiliary_loss(*layer)->loss_type, "info_nce");
  EXPECT_EQ(auxiliary_loss(*layer)->loss_weight, 1);
  EXPECT_EQ(auxiliary_loss(*layer_of("concat", "{}")), nullptr);
  const BlockValue a{.features = filled("a", {5, 2})}, b{.features = filled("b", {5, 3})};
  EXPECT_NE(config_error([&] {
              layer->build({a, b});
            }).find("2 channels with 3"),
            std::string::npos);
  EXPECT_NE(config_error([&] { layer->build({a}); }).find("there are 1"), std::string::npos);
  EXPECT_NE(config_error([&] {
              layer_of("AuxiliaryLoss", "{loss_type: nce}");
            }).find("allowed in AuxiliaryLoss"),
            std::string::npos);
}

}  // namespace
}  // namespace cltrain
