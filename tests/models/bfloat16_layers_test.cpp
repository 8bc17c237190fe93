// Layers and networks under bfloat16 autocast on the CPU: what type and layout they hand on, and
// how far values and gradients may be from those in float32.
#include "models/nets/layers.h"
#include "models/nets/projection_head.h"
#include "models/nets/resnet.h"
#include "models/nets/small_conv.h"
#include "tests/models/golden.h"
#include "tests/models/values.h"
#include "train/autocast.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

const NormSettings kLocal{.kind = "local"};

using testing::filled;

at::Tensor values(at::IntArrayRef shape, double phase, at::ScalarType type = at::kFloat) {
  return testing::values(shape, phase, type);
}

double largest(const at::Tensor& tensor) {
  return tensor.abs().max().item<double>();
}

std::shared_ptr<Norm> norm_of(int64_t channels, const NormSettings& settings) {
  auto norm = std::make_shared<Norm>(channels, settings);
  norm->weight.detach().copy_(values({channels}, 0.4));
  norm->bias.detach().copy_(values({channels}, 1.4) * 0.5);
  return norm;
}

struct Pass {
  at::Tensor y, dx, daddend, dweight, dbias, mean, variance;
};

/// relu(norm(x) + addend) forward and backward: in bfloat16, or the plain formula in float64.
Pass pass(Norm& norm, const at::Tensor& x, const at::Tensor& addend, const at::Tensor& dy,
          bool plain) {
  const at::ScalarType type = plain ? at::kDouble : at::kBFloat16;
  const at::Tensor input = x.to(type).detach().requires_grad_();
  const at::Tensor more = addend.to(type).detach().requires_grad_();
  norm.zero_grad();
  at::Tensor y;
  if (plain) {
    const at::Tensor centred = input - input.mean({0, 2, 3}, true);
    const at::Tensor variance = centred.square().mean({0, 2, 3}, true);
    y = at::relu(centred * (variance + 1e-5).rsqrt() * norm.weight.view({1, -1, 1, 1}) +
                 norm.bias.view({1, -1, 1, 1}) + more);
  } else {
    y = norm.forward_relu(input, more);
    commit_statistics(norm);
  }
  y.backward(dy.to(type));
  return {y.detach(),
          input.grad(),
          more.grad(),
          norm.weight.grad().clone(),
          norm.bias.grad().clone(),
          norm.running_mean,
          norm.running_var};
}

TEST(Bfloat16Norm, ReluAndSumAreTheFormulaWithItsGradients) {
  const std::vector<int64_t> shape{4, 24, 15, 17};
  const auto norm = norm_of(24, kLocal);
  const at::Tensor x = values(shape, 0.1, at::kBFloat16);
  const at::Tensor addend = values(shape, 0.9, at::kBFloat16), dy = values(shape, 2, at::kBFloat16);
  const Pass found = pass(*norm, x, addend, dy, false), exact = pass(*norm, x, addend, dy, true);
  EXPECT_EQ(found.y.scalar_type(), at::kBFloat16);
  EXPECT_EQ(found.dweight.scalar_type(), at::kFloat);
  // Numbers below 4: half a unit of the last place is 1/128. Where the formula's sum is so close to
  // 0 that rounding decides whether the ReLU is open, a whole gradient may pass: no such place
  // here.
  EXPECT_LT(largest(found.y - exact.y), 1.0 / 128);
  EXPECT_TRUE(at::equal(found.daddend.to(at::kDouble), exact.daddend));
  EXPECT_LT(largest(found.dx - exact.dx), 1.0 / 128);
  EXPECT_LT(largest(found.dweight - exact.dweight), 1e-3);
  EXPECT_LT(largest(found.dbias - exact.dbias), 1e-3);
  const at::Tensor wide = x.to(at::kDouble);
  EXPECT_LT(largest(found.mean - 0.1 * wide.mean({0, 2, 3})), 1e-6);
  EXPECT_LT(largest(found.variance - 0.9 - 0.1 * wide.var({0, 2, 3}, true)), 1e-6);
}

TEST(Bfloat16Norm, WithoutSumOrReluItIsTheSameNorm) {
  const auto norm = norm_of(8, kLocal);
  const at::Tensor x = values({3, 8, 5, 7}, 0.1, at::kBFloat16);
  const at::Tensor y = norm->forward(x);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  EXPECT_LT(largest(y), 8);
  EXPECT_LT(y.min().item<double>(), -0.5);
  EXPECT_TRUE(at::equal(norm->forward_relu(x), at::relu(y)));
}

// Everything that is not batch norm of a training pass is computed, and left, in float32.
TEST(Bfloat16Norm, GroupsEvaluationAndVectorsStayInFloat32) {
  const auto group = norm_of(16, {.kind = "group", .groups = 2});
  const auto batch = norm_of(16, kLocal), evaluated = norm_of(16, kLocal);
  evaluated->eval();
  const at::Tensor images = values({3, 16, 5, 7}, 0.1, at::kBFloat16);
  const at::Tensor vectors = values({9, 16}, 0.1, at::kBFloat16);
  for (const auto& [norm, x] : {std::pair(group, images), {evaluated, images}, {batch, vectors}}) {
    const at::Tensor y = norm->forward(x);
    EXPECT_EQ(y.scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(y, norm->forward(x.to(at::kFloat))));
    const at::Tensor addend = values(x.sizes(), 0.5);
    EXPECT_TRUE(at::equal(norm->forward_relu(x, addend), at::relu(y + addend)));
  }
}

TEST(Bfloat16Conv2d, HandsOnChannelsLastAndLeavesFloat32Alone) {
  const auto convolution = std::make_shared<Conv2d>(3, 16, 3, 1, 1);
  initialize(*convolution, 1, "x");
  convolution->weight.detach().copy_(values(convolution->weight.sizes(), 0.3));
  const at::Tensor x = values({2, 3, 9, 10}, 0.1), plain = convolution->forward(x);
  EXPECT_TRUE(plain.is_contiguous());
  const AutocastGuard autocast(at::kCPU, true);
  const at::Tensor y = convolution->forward(x);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(y.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_LT(largest(y - plain), 0.02 * largest(plain));
}

/// Result, gradient of x and gradient of the weight of a convolution, summed with fixed weights.
template <class Convolution>
std::vector<at::Tensor> results_of(Convolution& convolution, const at::Tensor& input,
                                   bool bfloat16) {
  const at::Tensor x = input.to(at::kFloat).requires_grad_();
  convolution.zero_grad();
  at::Tensor y;
  {
    const AutocastGuard autocast(at::kCPU, bfloat16);
    y = convolution.forward(x).to(at::kFloat);
  }
  (y * filled("upstream", y.sizes())).sum().backward();
  return {y.detach(), x.grad(), convolution.weight.grad().clone()};
}

template <class Convolution>
void expect_bfloat16_follows(Convolution&& convolution, const at::Tensor& x) {
  convolution.weight.detach().copy_(filled("weight", convolution.weight.sizes()));
  const std::vector<at::Tensor> exact = results_of(convolution, x, false);
  for (int repetition = 0; repetition < 3; ++repetition) {
    const std::vector<at::Tensor> rounded = results_of(convolution, x, true);
    for (size_t i = 0; i < exact.size(); ++i) {
      SCOPED_TRACE("tensor " + std::to_string(i));
      EXPECT_FALSE(at::equal(rounded[i], exact[i]));
      const at::Tensor error = (rounded[i] - exact[i]).norm() / exact[i].norm();
      EXPECT_LT(error.item<double>(), 0.02);
    }
  }
}

// Where a kernel is larger than what it slides over, LibTorch's own gradient of the weight holds
// what was in memory before: any number, infinite ones among them.
TEST(Bfloat16Convolutions, FollowFloat32WhereTheKernelIsLargerThanTheInput) {
  for (const int64_t stride : {1, 2})
    for (const int64_t extent : {1, 2, 3, 5}) {
      SCOPED_TRACE("extent " + std::to_string(extent) + ", stride " + std::to_string(stride));
      expect_bfloat16_follows(Conv2d(16, 24, 3, stride, 1), filled("x", {4, 16, extent, extent}));
      expect_bfloat16_follows(Conv2d(16, 24, 7, stride, 3), filled("x", {4, 16, extent, extent}));
      expect_bfloat16_follows(Conv2d(16, 24, 3, 1, 6, /*dilation=*/6),
                              filled("x", {4, 16, 3 * extent, 3 * extent}));
      expect_bfloat16_follows(Conv3d(16, 24, {3, 3, 3}, {stride, stride, stride}, {1, 1, 1}),
                              filled("x", {4, 16, extent, 4, 4}));
      expect_bfloat16_follows(Conv3d(16, 24, {1, 3, 3}, {1, stride, stride}, {0, 1, 1}),
                              filled("x", {4, 16, 2, extent, extent}));
    }
}

// So does its gradient of a dilated kernel over channels-last images of some numbers of channels.
TEST(Bfloat16Convolutions, FollowFloat32WhereKernelsAreDilated) {
  for (const int64_t channels : {15, 20, 24, 32, 40})
    for (const int64_t dilation : {2, 6}) {
      SCOPED_TRACE(std::to_string(channels) + " channels, dilation " + std::to_string(dilation));
      const at::Tensor x = filled("x", {3, channels, 30, 30});
      expect_bfloat16_follows(Conv2d(channels, 24, 3, 1, dilation, dilation), x);
      expect_bfloat16_follows(Conv2d(channels, 24, 3, 1, dilation, dilation),
                              x.contiguous(at::MemoryFormat::ChannelsLast));
    }
}

std::map<std::string, at::Tensor> gradients(Encoder& net, const at::Tensor& x, bool bfloat16,
                                            at::Tensor& features) {
  net.zero_grad();
  {
    const AutocastGuard autocast(at::kCPU, bfloat16);
    features = net.forward(x);
  }
  features.to(at::kFloat).mul(values(features.sizes(), 0.7)).sum().backward();
  discard_statistics(net);
  std::map<std::string, at::Tensor> found;
  for (const auto& item : net.named_parameters()) found[item.key()] = item.value().grad().clone();
  return found;
}

double cosine(const at::Tensor& a, const at::Tensor& b) {
  return ((a * b).sum() / (a.norm() * b.norm())).item<double>();
}

// Rounding at every layer turns the gradient of so arbitrary a loss by some angle; eager PyTorch's
// networks under autocast turn it further. What a wrong sign, scale or mask would do is far larger.
TEST(Bfloat16Networks, FollowFloat32) {
  const at::Tensor i = at::arange(16 * 3 * 32 * 32, at::kDouble);
  const at::Tensor x = (i * i * 0.37).sin().to(at::kFloat).view({16, 3, 32, 32});
  const ResNetSettings settings{
      .width = 0.25, .small_stem = true, .zero_init_residual = false, .norm = kLocal};
  for (const auto& net : {make_small_conv(0.5, kLocal, 1), make_resnet(settings, 1)}) {
    at::Tensor features, rounded;
    const auto exact = gradients(*net, x, false, features);
    const auto found = gradients(*net, x, true, rounded);
    EXPECT_GT(cosine(rounded.to(at::kFloat), features), 0.999);
    std::vector<at::Tensor> all_exact, all_found;
    for (const auto& [name, gradient] : exact) {
      EXPECT_GT(cosine(found.at(name), gradient), 0.8) << name;
      EXPECT_NEAR((found.at(name).norm() / gradient.norm()).item<double>(), 1, 0.2) << name;
      all_exact.push_back(gradient.flatten());
      all_found.push_back(found.at(name).flatten());
    }
    EXPECT_GT(cosine(at::cat(all_found), at::cat(all_exact)), 0.9);
  }
}

TEST(Bfloat16Networks, NoRowsRunTheWholeGraph) {
  const auto net = make_resnet({.width = 0.125, .norm = kLocal}, 1);
  at::Tensor features;
  for (const auto& [name, gradient] : gradients(*net, at::zeros({0, 3, 32, 32}), true, features))
    EXPECT_EQ(gradient.abs().sum().item<double>(), 0) << name;
  EXPECT_EQ(features.sizes(), (std::vector<int64_t>{0, net->feature_dim()}));
}

TEST(Bfloat16Networks, EmbeddingsAreNotRoundedToBfloat16) {
  const auto head = std::make_shared<ProjectionHead>(32, HeadSettings{.out = 8, .norm = kLocal});
  initialize(*head, 1, "head");
  const AutocastGuard autocast(at::kCPU, true);
  const at::Tensor z = head->forward(values({12, 32}, 0.2));
  EXPECT_EQ(z.scalar_type(), at::kFloat);
  EXPECT_FALSE(at::equal(z, z.to(at::kBFloat16).to(at::kFloat)));
}

}  // namespace
}  // namespace cltrain
