// The sequence encoder against plain PyTorch modules (make_golden_sequence_encoder.py) and SRMA's
// extra layers: names, numbers, dropout in both forms of rows, layer dropping.
#include "models/nets/sequence_encoder.h"

#include "models/nets/augmented_layers.h"
#include "tests/models/golden.h"
#include "tests/models/values.h"
#include "tests/ops/token_cases.h"
#include "train/autocast.h"

#include <set>

namespace cltrain {
namespace {

using testing::filled;
using testing::kept_tokens;
using testing::sample_items;

const SequenceEncoderSettings kSmall{
    .items = 20, .max_length = 12, .layers = 2, .layer = {.dim = 16, .heads = 2, .inner = 64}};

std::shared_ptr<SequenceEncoder> make(at::ScalarType type = at::kDouble) {
  auto net = std::make_shared<SequenceEncoder>(kSmall);
  move_to(*net, at::kCPU, type);
  testing::fill(*net);
  return net;
}

DropoutDraws draws_of(const TokenRows& rows, uint32_t view = 1) {
  return {true, random_key(3, Purpose::kDropout, 5), at::arange(rows.rows(), at::kLong) + 40, view};
}

std::map<std::string, at::Tensor> gradients_of(torch::nn::Module& net) {
  std::map<std::string, at::Tensor> found;
  for (const auto& item : net.named_parameters()) found[item.key()] = item.value().grad();
  return found;
}

TEST(SequenceEncoder, ComputesWhatPlainModulesDo) {
  const testing::Golden golden("sequence_encoder.txt");
  for (const auto& [type, tolerance] :
       {std::pair(at::kDouble, 1e-10), std::pair(at::kFloat, 2e-5)}) {
    const auto net = make(type);
    const TokenRows whole = whole_rows(sample_items()), ragged = ragged_rows(sample_items());
    const at::Tensor output = net->forward(whole, {});
    EXPECT_LT(golden.error_of(output, "output"), tolerance);
    const at::Tensor upstream = filled("upstream", {6, 12, 16}).to(type);
    (output * upstream.view_as(output)).sum().backward();
    golden.expect_summaries(gradients_of(*net), "gradients", tolerance, 1);
    for (const TokenRows& rows : {whole, ragged}) {
      net->zero_grad();
      const at::Tensor tokens = net->forward(rows, {});
      EXPECT_LT((tokens - kept_tokens(output, rows)).abs().max().item<double>(), tolerance);
      (last_of_rows(tokens, rows) * upstream.select(1, 11)).sum().backward();
      golden.expect_summaries(gradients_of(*net), "last", tolerance, 1);
    }
  }
}

TEST(SequenceEncoder, DropsTheSameInRaggedAndWholeRows) {
  const auto net = make();
  const TokenRows whole = whole_rows(sample_items()), ragged = ragged_rows(sample_items());
  const at::Tensor still = net->forward(whole, {}), output = net->forward(whole, draws_of(whole));
  EXPECT_GT((output - still).abs().max().item<double>(), 0.1);
  EXPECT_LT((net->forward(ragged, draws_of(ragged)) - kept_tokens(output, ragged))
                .abs()
                .max()
                .item<double>(),
            1e-12);
  EXPECT_GT((net->forward(whole, draws_of(whole, 2)) - output).abs().max().item<double>(), 0.1);
}

TEST(SequenceEncoder, BatchSplitsSumToTheSameGradients) {
  const auto net = make();
  const at::Tensor items = sample_items(), upstream = filled("upstream", {6, 16});
  const auto run = [&](int64_t begin, int64_t end) {
    const TokenRows rows = ragged_rows(items.slice(0, begin, end));
    DropoutDraws draws = draws_of(rows);
    draws.sample_ids = draws.sample_ids + begin;
    (last_of_rows(net->forward(rows, draws), rows) * upstream.slice(0, begin, end))
        .sum()
        .backward();
  };
  run(0, 6);
  std::map<std::string, at::Tensor> together = gradients_of(*net);
  for (auto& [name, gradient] : together) gradient = gradient.clone();
  net->zero_grad();
  for (const auto& [begin, end] : {std::pair(0, 2), std::pair(2, 2), std::pair(2, 6)})
    run(begin, end);
  for (const auto& [name, gradient] : gradients_of(*net))
    EXPECT_LT((gradient - together[name]).abs().max().item<double>(), 1e-11) << name;
}

TEST(SequenceEncoder, AutocastChangesNothing) {
  const auto net = make(at::kFloat);
  const TokenRows rows = whole_rows(sample_items());
  const at::Tensor expected = net->forward(rows, draws_of(rows));
  const AutocastGuard guard(at::kCPU, true);
  EXPECT_TRUE(at::equal(net->forward(rows, draws_of(rows)), expected));
}

TEST(SequenceEncoder, PaddingsRowIsReadAndGetsNoGradient) {
  const auto net = make();
  const TokenRows rows = whole_rows(sample_items());
  const at::Tensor output = net->forward(rows, {});
  output.square().sum().backward();
  EXPECT_EQ(net->item_table().grad()[0].abs().max().item<double>(), 0);
  EXPECT_GT(net->item_table().grad()[4].abs().max().item<double>(), 0);
  net->item_table().detach()[0] += 0.5;
  EXPECT_FALSE(at::equal(net->forward(rows, {}), output));
}

TEST(SequenceEncoder, InitialWeightsHaveTheirDeviation) {
  const auto made = [](int64_t layers) {
    auto net = std::make_shared<SequenceEncoder>(
        SequenceEncoderSettings{.items = 3000, .max_length = 50, .layers = layers, .layer = {}});
    initialize_sequence_layers(*net, 7, "encoder");
    return net;
  };
  const auto net = made(1);
  const auto parameters = net->named_parameters();
  for (const char* name :
       {"item_embeddings.weight", "item_encoder.layer.0.intermediate.dense_1.weight",
        "item_encoder.layer.0.attention.key.weight"}) {
    EXPECT_NEAR(parameters[name].std().item<double>(), 0.02, 0.001) << name;
    EXPECT_NEAR(parameters[name].mean().item<double>(), 0, 0.001) << name;
  }
  EXPECT_GT(net->item_table()[0].abs().sum().item<double>(), 0.1);
  EXPECT_TRUE(at::equal(parameters["LayerNorm.weight"], at::ones({64})));
  for (const auto& item : parameters)
    if (item.key().ends_with("bias")) {
      EXPECT_EQ(item.value().abs().sum().item<double>(), 0);
    }
  EXPECT_TRUE(at::equal(made(2)->item_table(), net->item_table()));
}

TEST(SequenceEncoder, NoRows) {
  const auto net = make(at::kFloat);
  const TokenRows rows = whole_rows(at::zeros({0, 12}, at::kLong));
  const at::Tensor output = net->forward(rows, draws_of(rows));
  EXPECT_EQ(output.sizes(), (std::vector<int64_t>{0, 16}));
  output.sum().backward();
  for (const auto& [name, gradient] : gradients_of(*net)) {
    ASSERT_TRUE(gradient.defined()) << name;
    EXPECT_EQ(gradient.abs().sum().item<double>(), 0) << name;
  }
}

TEST(SequenceEncoder, RefusesWhatDoesNotFit) {
  EXPECT_THROW(SequenceEncoder({.items = 0}), c10::Error);
  EXPECT_THROW(SequenceEncoder({.items = 5, .layer = {.dim = 10, .heads = 3}}), c10::Error);
  EXPECT_THROW(SequenceEncoder({.items = 5, .layer = {.hidden_dropout = 1}}), c10::Error);
  const auto net = make();
  EXPECT_THROW(net->forward(whole_rows(at::ones({1, 11}, at::kLong)), {}), c10::Error);
  EXPECT_THROW(net->forward(whole_rows(at::full({1, 12}, 22, at::kLong)), {}), c10::Error);
}

AugmentedLayers make_augmented(AugmentedLayerType type) {
  AugmentedLayers layers({.type = type, .layers = 3, .layer = kSmall.layer, .first_site = 7});
  move_to(layers, at::kCPU, at::kDouble);
  testing::fill(layers);
  return layers;
}

TEST(AugmentedLayers, NamesAreDocumented) {
  const auto names = [](AugmentedLayerType type) {
    std::set<std::string> found;
    for (const auto& item : make_augmented(type).named_parameters())
      if (item.key().starts_with("augment_layers.2."))
        found.insert(item.key().substr(std::string("augment_layers.").size()));
    return found;
  };
  EXPECT_EQ(names(AugmentedLayerType::kSingle),
            (std::set<std::string>{"2.dense.weight", "2.dense.bias", "2.LayerNorm.weight",
                                   "2.LayerNorm.bias"}));
  EXPECT_TRUE(names(AugmentedLayerType::kInter).contains("2.dense_2.weight"));
  EXPECT_TRUE(names(AugmentedLayerType::kSasrec).contains("2.attention.query.weight"));
}

TEST(AugmentedLayers, SingleIsItsFormula) {
  AugmentedLayers layers = make_augmented(AugmentedLayerType::kSingle);
  const TokenRows rows = ragged_rows(sample_items());
  const at::Tensor x = testing::values({rows.tokens(), 16}, 0.3, at::kDouble);
  const DropoutDraws draws = draws_of(rows);
  const auto p = layers.named_parameters();
  at::Tensor expected = x;
  for (const int64_t n : {0, 2}) {
    const std::string name = "augment_layers." + std::to_string(n) + ".";
    const at::Tensor dense =
        at::gelu(at::matmul(expected, p[name + "dense.weight"].t()) + p[name + "dense.bias"]);
    const at::Tensor sum = expected + token_dropout(dense, rows, draws.at(7 + 3 * n, 0.5));
    const at::Tensor centred = sum - sum.mean(1, true);
    expected =
        centred / (centred.square().mean(1, true) + 1e-12).sqrt() * p[name + "LayerNorm.weight"] +
        p[name + "LayerNorm.bias"];
  }
  EXPECT_LT((layers.forward(x, rows, {0, 2}, draws) - expected).abs().max().item<double>(), 1e-12);
}

TEST(AugmentedLayers, GradientsReachTheKeptLayersOnly) {
  for (const auto type :
       {AugmentedLayerType::kSingle, AugmentedLayerType::kInter, AugmentedLayerType::kSasrec}) {
    AugmentedLayers layers = make_augmented(type);
    const TokenRows rows = whole_rows(sample_items());
    const at::Tensor x = testing::values({rows.tokens(), 16}, 0.3, at::kDouble).requires_grad_();
    (layers.forward(x, rows, {0, 2}, draws_of(rows)) * filled("upstream", {rows.tokens(), 16}))
        .sum()
        .backward();
    EXPECT_TRUE(x.grad().defined());
    for (const auto& [name, gradient] : gradients_of(layers)) {
      EXPECT_EQ(gradient.defined(), !name.starts_with("augment_layers.1.")) << name;
      if (gradient.defined() && !name.ends_with("key.bias")) {
        EXPECT_GT(gradient.abs().max().item<double>(), 1e-9) << name;
      }
    }
    EXPECT_TRUE(at::equal(layers.forward(x, rows, {}, draws_of(rows)), x));
    EXPECT_THROW(layers.forward(x, rows, {2, 0}, {}), c10::Error);
    EXPECT_THROW(layers.forward(x, rows, {3}, {}), c10::Error);
  }
}

TEST(LayerDrop, EveryChoiceOfLayersIsEquallyLikely) {
  constexpr int kSteps = 6000;
  std::map<std::vector<int64_t>, int> seen;
  int same_for_the_other_view = 0;
  for (int step = 0; step < kSteps; ++step) {
    const PhiloxKey key = random_key(1, Purpose::kLayerDrop, step);
    const auto kept = kept_layers(key, 4, {.dropped = 2});
    EXPECT_EQ(kept, kept_layers(key, 4, {.dropped = 2}));
    same_for_the_other_view += kept == kept_layers(key, 4, {.dropped = 2}, 1);
    ++seen[kept];
  }
  EXPECT_EQ(seen.size(), 6u);
  for (const auto& [kept, count] : seen) {
    ASSERT_EQ(kept.size(), 2u);
    EXPECT_LT(kept[0], kept[1]);
    EXPECT_NEAR(count, kSteps / 6, 5 * std::sqrt(kSteps * 5.0 / 36));
  }
  EXPECT_NEAR(same_for_the_other_view, kSteps / 6, 5 * std::sqrt(kSteps * 5.0 / 36));
}

TEST(LayerDrop, TheThresholdIsTheChanceToStay) {
  constexpr int kSteps = 4000;
  std::vector<int> stayed(3);
  int all = 0;
  for (int step = 0; step < kSteps; ++step) {
    const auto kept = kept_layers(random_key(1, Purpose::kLayerDrop, step), 3, {.threshold = 0.7});
    for (const int64_t n : kept) ++stayed[n];
    all += kept.size() == 3;
  }
  for (const int count : stayed) EXPECT_NEAR(count, 2800, 5 * std::sqrt(840));
  EXPECT_NEAR(all, kSteps * 0.343, 5 * std::sqrt(kSteps * 0.343 * 0.657));
}

TEST(LayerDrop, Ends) {
  const PhiloxKey key = random_key(1, Purpose::kLayerDrop, 0);
  EXPECT_EQ(kept_layers(key, 3, {.dropped = 0}), all_layers(3));
  EXPECT_TRUE(kept_layers(key, 3, {.dropped = 3}).empty());
  EXPECT_EQ(kept_layers(key, 3, {.threshold = 1}), all_layers(3));
  EXPECT_TRUE(kept_layers(key, 3, {.threshold = 0}).empty());
  EXPECT_THROW(kept_layers(key, 3, {.dropped = 4}), c10::Error);
  EXPECT_THROW(kept_layers(key, 3, {.threshold = 1.5}), c10::Error);
}

}  // namespace
}  // namespace cltrain
