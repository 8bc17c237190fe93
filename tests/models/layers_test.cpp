// Layers: running statistics that wait for the update, moves, keyed initial weights, empty batches.
#include "models/nets/layers.h"

#include "models/nets/projection_head.h"
#include "models/nets/resnet.h"
#include "models/nets/small_conv.h"
#include "ops/initial_weights.h"
#include "tests/models/values.h"

#include <cmath>
#include <memory>
#include <string>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

const NormSettings kLocal{.kind = "local"};

at::Tensor values(at::IntArrayRef shape, double phase, at::ScalarType type = at::kDouble) {
  return testing::values(shape, phase, type);
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  return (a - b).abs().max().item<double>();
}

std::shared_ptr<Norm> norm_in_double(int64_t channels, const NormSettings& settings = kLocal) {
  auto norm = std::make_shared<Norm>(channels, settings);
  move_to(*norm, at::kCPU, at::kDouble);
  return norm;
}

TEST(Norm, RunningStatisticsMoveOnCommitOnly) {
  const auto norm = norm_in_double(3);
  const at::Tensor x = values({5, 3, 2, 2}, 0.3) + 2;
  norm->forward(x);
  EXPECT_TRUE(at::equal(norm->running_mean, at::zeros({3}, at::kDouble)));
  EXPECT_EQ(norm->num_batches_tracked.item<int64_t>(), 0);
  norm->discard_statistics();
  commit_statistics(*norm);
  EXPECT_TRUE(at::equal(norm->running_var, at::ones({3}, at::kDouble)));
  EXPECT_EQ(norm->num_batches_tracked.item<int64_t>(), 0);
  norm->forward(x);
  commit_statistics(*norm);
  EXPECT_LT(largest_difference(norm->running_mean, 0.1 * x.mean({0, 2, 3})), 1e-14);
  EXPECT_LT(largest_difference(norm->running_var, 0.9 + 0.1 * x.var({0, 2, 3}, true)), 1e-14);
  EXPECT_EQ(norm->num_batches_tracked.item<int64_t>(), 1);
}

// Micro-batches: two passes, one update.
TEST(Norm, CommitsPassesInTheirOrder) {
  NormSettings settings = kLocal;
  settings.momentum = 0.25;
  const auto norm = norm_in_double(2, settings);
  const at::Tensor first = values({6, 2}, 0.3), second = values({4, 2}, 1.3) * 3;
  norm->forward(first);
  norm->forward(second);
  commit_statistics(*norm);
  const at::Tensor expected = 0.75 * (0.25 * first.mean(0)) + 0.25 * second.mean(0);
  EXPECT_LT(largest_difference(norm->running_mean, expected), 1e-14);
  EXPECT_EQ(norm->num_batches_tracked.item<int64_t>(), 2);
}

TEST(Norm, EvaluationUsesTheRunningStatisticsAndNotesNothing) {
  const auto norm = norm_in_double(2);
  norm->running_mean.copy_(values({2}, 0.4));
  norm->running_var.copy_(values({2}, 0.4) + 2);
  norm->eval();
  const at::Tensor x = values({3, 2}, 1.0);
  const at::Tensor expected =
      (x - norm->running_mean) / (norm->running_var + 1e-5).sqrt() * norm->weight + norm->bias;
  EXPECT_LT(largest_difference(norm->forward(x), expected), 1e-14);
  commit_statistics(*norm);
  EXPECT_EQ(norm->num_batches_tracked.item<int64_t>(), 0);
}

// A rank whose share is empty would pull its running variance towards 0.
TEST(Norm, LocalStatisticsOfNoRowsAreNotCommitted) {
  const auto norm = norm_in_double(2);
  EXPECT_EQ(norm->forward(at::zeros({0, 2, 4, 4}, at::kDouble)).size(0), 0);
  commit_statistics(*norm);
  EXPECT_TRUE(at::equal(norm->running_var, at::ones({2}, at::kDouble)));
}

TEST(Norm, GroupNormIsThePlainFormula) {
  NormSettings settings{.kind = "group", .groups = 4};
  const auto norm = norm_in_double(24, settings);  // 3 groups: none of fewer than 8 channels
  const at::Tensor x = values({5, 24, 3, 3}, 0.3), grouped = x.view({5, 3, -1});
  const at::Tensor centred = grouped - grouped.mean(2, true);
  const at::Tensor deviation = (centred.square().mean(2, true) + 1e-5).sqrt();
  EXPECT_LT(largest_difference(norm->forward(x), (centred / deviation).view_as(x)), 1e-12);
  EXPECT_FALSE(norm->running_mean.defined());
  EXPECT_TRUE(norm->named_buffers().is_empty());
}

TEST(Norm, ShiftWithoutScaleHasItsGradient) {
  auto norm = std::make_shared<Norm>(3, kLocal, /*affine_weight=*/false, /*affine_bias=*/true);
  move_to(*norm, at::kCPU, at::kDouble);
  const at::Tensor upstream = values({5, 3}, 0.8);
  norm->forward(values({5, 3}, 0.2)).backward(upstream);
  EXPECT_LT(largest_difference(norm->bias.grad(), upstream.sum(0)), 1e-14);
}

TEST(MoveTo, ChangesTheTypeOfNumbersButNotOfCounters) {
  const auto net = make_small_conv(1, kLocal, 1);
  const at::Tensor before = net->named_parameters()["conv3.weight"].detach().clone();
  move_to(*net, at::kCPU, at::kDouble);
  for (const auto& item : net->named_parameters()) {
    EXPECT_EQ(item.value().scalar_type(), at::kDouble) << item.key();
    EXPECT_TRUE(item.value().requires_grad()) << item.key();
  }
  int64_t counters = 0;
  for (const auto& item : net->named_buffers()) {
    const bool counter = item.key().find("num_batches_tracked") != std::string::npos;
    EXPECT_EQ(item.value().scalar_type(), counter ? at::kLong : at::kDouble) << item.key();
    counters += counter;
  }
  EXPECT_EQ(counters, 5);
  EXPECT_TRUE(at::equal(net->named_parameters()["conv3.weight"].detach(), before.to(at::kDouble)));
}

TEST(Initialize, NameSeedAndShapeDecideAlone) {
  const auto shallow = make_resnet({.depth = 18, .width = 0.25, .norm = kLocal}, 5);
  const auto deep = make_resnet({.depth = 34, .width = 0.25, .norm = kLocal}, 5);
  const auto other_seed = make_resnet({.depth = 18, .width = 0.25, .norm = kLocal}, 6);
  const auto parameters = shallow->named_parameters();
  for (const char* name : {"conv1.weight", "layer1.1.conv2.weight", "layer4.0.conv1.weight"}) {
    EXPECT_TRUE(at::equal(parameters[name], deep->named_parameters()[name])) << name;
    EXPECT_FALSE(at::equal(parameters[name], other_seed->named_parameters()[name])) << name;
    at::Tensor alone = at::empty_like(parameters[name]).detach();
    const auto fan_out = static_cast<double>(alone.numel() / alone.size(1));
    fill_normal(alone, std::sqrt(2 / fan_out), 5, std::string("encoder.") + name);
    EXPECT_TRUE(at::equal(parameters[name], alone)) << name;
  }
}

TEST(Initialize, DeviationIsHesByFanOutAndLinearIsUniform) {
  const auto net = make_resnet({.depth = 18, .norm = kLocal}, 5);
  const at::Tensor weight = net->named_parameters()["layer3.0.conv2.weight"];  // 256 x 256 x 3 x 3
  EXPECT_NEAR(weight.std().item<double>(), std::sqrt(2.0 / (256 * 9)), 2e-4);
  const auto linear = std::make_shared<Linear>(400, 300);
  initialize(*linear, 5, "probe");
  EXPECT_LE(linear->weight.abs().max().item<double>(), 0.05);
  EXPECT_NEAR(linear->weight.std().item<double>(), 0.05 / std::sqrt(3.0), 5e-4);
  EXPECT_GT(linear->bias.abs().max().item<double>(), 0.04);
  EXPECT_LE(linear->bias.abs().max().item<double>(), 0.05);
}

TEST(Initialize, ZeroInitResidualZeroesTheLastNormOfEachBlockOnly) {
  for (const int64_t depth : {18, 50})
    for (const bool zero : {true, false}) {
      const auto net = make_resnet(
          {.depth = depth, .width = 0.125, .zero_init_residual = zero, .norm = kLocal}, 1);
      const std::string last = depth == 18 ? ".bn2.weight" : ".bn3.weight";
      for (const auto& item : net->named_parameters()) {
        if (item.value().dim() != 1) continue;
        const bool is_bias = item.key().find(".bias") != std::string::npos;
        const bool is_last =
            item.key().find("layer") == 0 && item.key().find(last) != std::string::npos;
        const double expected = is_bias || (is_last && zero) ? 0 : 1;
        EXPECT_TRUE(at::eq(item.value(), expected).all().item<bool>()) << item.key();
      }
    }
}

TEST(Encoders, NoRowsRunTheWholeGraph) {
  std::vector<std::shared_ptr<Encoder>> nets{
      make_small_conv(0.5, kLocal, 1), make_resnet({.width = 0.125, .norm = kLocal}, 1),
      make_resnet({.depth = 50, .width = 0.125, .small_stem = true, .norm = kLocal}, 1),
      make_small_conv(0.5, {.kind = "group"}, 1)};
  for (const auto& net : nets) {
    const at::Tensor y = net->forward(at::zeros({0, 3, 32, 32}));
    EXPECT_EQ(y.sizes(), (std::vector<int64_t>{0, net->feature_dim()}));
    y.sum().backward();
    for (const auto& item : net->named_parameters()) {
      ASSERT_TRUE(item.value().grad().defined()) << item.key();
      EXPECT_EQ(item.value().grad().abs().sum().item<double>(), 0) << item.key();
    }
  }
}

TEST(SmallConv, ShapesAndStrides) {
  const auto net = make_small_conv(1, kLocal, 1);
  EXPECT_EQ(net->feature_dim(), 256);
  const auto parameters = net->named_parameters();
  const std::vector<int64_t> channels{3, 32, 64, 64, 128, 256};
  for (int i = 1; i <= 5; ++i)
    EXPECT_EQ(parameters["conv" + std::to_string(i) + ".weight"].sizes(),
              (std::vector<int64_t>{channels[i], channels[i - 1], 3, 3}));
  EXPECT_EQ(parameters.size(), 15u);
  EXPECT_EQ(net->forward(values({2, 3, 28, 28}, 0, at::kFloat)).sizes(),
            (std::vector<int64_t>{2, 256}));
  EXPECT_EQ(make_small_conv(0.5, kLocal, 1)->feature_dim(), 128);
}

TEST(SmallConv, ComputesFiveConvolutionsWithTheirStrides) {
  const auto net = make_small_conv(0.5, kLocal, 1);
  move_to(*net, at::kCPU, at::kDouble);
  net->eval();  // fresh running statistics: mean 0, variance 1
  at::Tensor x = values({2, 3, 13, 11}, 0.2);
  const at::Tensor found = net->forward(x);
  const std::vector<int64_t> strides{1, 2, 1, 2, 1};
  for (int i = 1; i <= 5; ++i) {
    const at::Tensor weight = net->named_parameters()["conv" + std::to_string(i) + ".weight"];
    x = at::relu(at::conv2d(x, weight, {}, strides[i - 1], 1) / std::sqrt(1 + 1e-5));
  }
  EXPECT_EQ(x.size(2), 4);
  EXPECT_LT(largest_difference(found, x.flatten(2).mean(2)), 1e-12);
}

/// The head by torch's functions: linear, batch norm of the batch, ReLU between.
at::Tensor plain_head(const ProjectionHead& head, at::Tensor x, int64_t layers) {
  const auto parameters = head.named_parameters();
  for (int64_t layer = 1; layer <= layers; ++layer) {
    const std::string number = std::to_string(layer);
    x = x.matmul(parameters["linear" + number + ".weight"].t());
    x = (x - x.mean(0)) / (x.var(0, /*unbiased=*/false) + 1e-5).sqrt();
    x = x * parameters["bn" + number + ".weight"];
    if (layer < layers) x = at::relu(x + parameters["bn" + number + ".bias"]);
  }
  return x;
}

TEST(ProjectionHead, NamesShapesAndArithmetic) {
  for (const int64_t layers : {2, 3}) {
    const HeadSettings settings{.layers = layers, .hidden = 7, .out = 5, .norm = kLocal};
    const auto head = std::make_shared<ProjectionHead>(12, settings);
    initialize(*head, 1, "head");
    move_to(*head, at::kCPU, at::kDouble);
    const auto parameters = head->named_parameters();
    const std::string last = std::to_string(layers);
    EXPECT_EQ(static_cast<int64_t>(parameters.size()), 3 * layers - 1);
    EXPECT_FALSE(parameters.contains("bn" + last + ".bias"));
    EXPECT_FALSE(parameters.contains("linear1.bias"));
    EXPECT_EQ(parameters["linear1.weight"].sizes(), (std::vector<int64_t>{7, 12}));
    EXPECT_EQ(parameters["linear" + last + ".weight"].sizes(), (std::vector<int64_t>{5, 7}));
    for (const auto& item : head->named_parameters())
      if (item.value().dim() == 1) item.value().detach().add_(values(item.value().sizes(), 0.5));
    const at::Tensor x = values({9, 12}, 0.3);
    EXPECT_LT(largest_difference(head->forward(x), plain_head(*head, x, layers)), 1e-12);
  }
}

TEST(ProjectionHead, HiddenWidthIsTheFeaturesUnlessGiven) {
  ProjectionHead head(12, {.norm = kLocal});
  EXPECT_EQ(head.named_parameters()["linear1.weight"].sizes(), (std::vector<int64_t>{12, 12}));
  EXPECT_EQ(head.named_parameters()["linear2.weight"].sizes(), (std::vector<int64_t>{128, 12}));
}

}  // namespace
}  // namespace cltrain
