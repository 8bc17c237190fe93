// Video ResNets against torchvision's (make_golden_video_resnets.py): names, shapes, and in float64
// features, running statistics and every gradient of networks whose weights follow a formula.
#include "models/nets/video_resnet.h"

#include "ops/initial_weights.h"
#include "tests/models/golden.h"
#include "tests/models/values.h"
#include "train/autocast.h"

namespace cltrain {
namespace {

using testing::filled;
using testing::values;

const NormSettings kLocal{.kind = "local"};

std::shared_ptr<Encoder> make(bool split, double width = 1, const NormSettings& norm = kLocal) {
  return make_video_resnet({.split = split, .width = width, .norm = norm}, 1);
}

std::map<std::string, at::Tensor> gradients_of(const torch::nn::Module& net) {
  std::map<std::string, at::Tensor> all;
  for (const auto& item : net.named_parameters()) all[item.key()] = item.value().grad();
  return all;
}

void compare_with_torchvision(bool split, const std::string& title) {
  static const testing::Golden kGolden("video_resnet_features.txt");
  const auto net = make(split, 0.25);
  const at::Tensor clips = filled("clips", {3, 3, 4, 20, 24});
  move_to(*net, at::kCPU, at::kDouble);
  testing::fill(*net);
  net->eval();
  EXPECT_LT(kGolden.error_of(net->forward(clips), title + ".eval"), 1e-12);
  net->train();
  const at::Tensor trained = net->forward(clips);
  EXPECT_LT(kGolden.error_of(trained, title + ".train"), 1e-10);
  (trained * filled("upstream", trained.sizes())).sum().backward();
  kGolden.expect_summaries(gradients_of(*net), title + ".gradients", 1e-9, 0);
  commit_statistics(*net);
  std::map<std::string, at::Tensor> running;
  for (const auto& item : net->named_buffers())
    if (item.value().is_floating_point()) running[item.key()] = item.value();
  kGolden.expect_summaries(running, title + ".running", 1e-10, 0);

  net->zero_grad();
  move_to(*net, at::kCPU, at::kFloat);
  testing::fill(*net);
  net->eval();
  EXPECT_LT(kGolden.error_of(net->forward(clips.to(at::kFloat)), title + ".eval"), 1e-5);
}

TEST(VideoResNet, R3dComputesWhatTorchvisionDoes) {
  compare_with_torchvision(false, "r3d_18");
}
TEST(VideoResNet, R2plus1dComputesWhatTorchvisionDoes) {
  compare_with_torchvision(true, "r2plus1d_18");
}

TEST(VideoResNet, NamesShapesAndCountsAreTorchvisions) {
  const auto golden = testing::golden_states("video_resnet_states.txt");
  for (const bool split : {false, true}) {
    const testing::States found = testing::states_of(*make(split));
    const testing::States& expected = golden.at(split ? "r2plus1d_18" : "r3d_18");
    EXPECT_EQ(found.shapes, expected.shapes);
    EXPECT_EQ(found.parameters, expected.parameters);
  }
}

TEST(VideoResNet, WidthScalesEveryChannelCount) {
  const auto net = make(true, 0.25);
  const auto shapes = testing::states_of(*net).shapes;
  EXPECT_EQ(net->feature_dim(), 128);
  EXPECT_EQ(shapes.at("stem.0.weight"), "11x3x1x7x7");
  EXPECT_EQ(shapes.at("stem.3.weight"), "16x11x3x1x1");
  EXPECT_EQ(shapes.at("layer1.0.conv1.0.0.weight"), "36x16x1x3x3");  // 16 * 16 * 27 / (16 * 12)
  EXPECT_EQ(shapes.at("layer4.1.conv2.0.3.weight"), "128x288x3x1x1");
  EXPECT_EQ(make(false, 0.5)->feature_dim(), 256);
}

// He by fan-out, norms at 1 and 0: torchvision zeroes no norm of these networks.
TEST(VideoResNet, InitialWeightsAreTorchvisionsAndKeyed) {
  const auto net = make(false, 0.25), again = make(false, 0.25);
  for (const auto& item : net->named_parameters()) {
    EXPECT_TRUE(at::equal(item.value(), again->named_parameters()[item.key()])) << item.key();
    if (item.value().dim() == 1) {
      const double expected = item.key().ends_with("weight") ? 1 : 0;
      EXPECT_TRUE((item.value() == expected).all().item<bool>()) << item.key();
    }
  }
  const at::Tensor weight = net->named_parameters()["layer3.0.conv2.0.weight"];
  at::Tensor alone = at::empty_like(weight).detach();
  const double deviation = std::sqrt(2.0 / (64 * 27));
  fill_normal(alone, deviation, 1, "encoder.layer3.0.conv2.0.weight");
  EXPECT_TRUE(at::equal(weight, alone));
  EXPECT_NEAR(weight.std().item<double>(), deviation, 3e-4);
}

TEST(VideoResNet, NoClipsRunTheWholeGraph) {
  for (const bool split : {false, true})
    for (const bool bfloat16 : {false, true}) {
      const auto net = make(split, 0.125);
      at::Tensor features;
      {
        const AutocastGuard autocast(at::kCPU, bfloat16);
        features = net->forward(at::zeros({0, 3, 4, 16, 16}));
      }
      EXPECT_EQ(features.sizes(), (std::vector<int64_t>{0, 64}));
      features.to(at::kFloat).sum().backward();
      for (const auto& [name, gradient] : gradients_of(*net)) {
        ASSERT_TRUE(gradient.defined()) << name;
        EXPECT_EQ(gradient.abs().sum().item<double>(), 0) << name;
      }
    }
}

// Rounding at every layer turns the gradient of so arbitrary a loss by some angle: torchvision's
// networks under autocast, where LibTorch's gradients are whole (24 frames), turn it to cosines of
// 0.94 and 0.52. A mistake of layout, scale or mask would leave nothing of it. Single convolutions
// are compared more closely in bfloat16_layers_test.cpp.
TEST(VideoResNet, Bfloat16FollowsFloat32) {
  for (const bool split : {false, true}) {
    const auto net = make(split, 0.25);
    const at::Tensor clips = filled("clips", {8, 3, 8, 32, 32}).to(at::kFloat);
    std::vector<at::Tensor> features, gradients;
    for (const bool bfloat16 : {false, true}) {
      net->zero_grad();
      {
        const AutocastGuard autocast(at::kCPU, bfloat16);
        features.push_back(net->forward(clips).to(at::kFloat));
      }
      (features.back() * filled("upstream", features.back().sizes())).sum().backward();
      std::vector<at::Tensor> all;
      for (const auto& [name, gradient] : gradients_of(*net)) all.push_back(gradient.flatten());
      gradients.push_back(at::cat(all));
      discard_statistics(*net);
    }
    const auto cosine = [](const std::vector<at::Tensor>& pair) {
      return at::cosine_similarity(pair[0].flatten(), pair[1].flatten(), 0).item<double>();
    };
    EXPECT_FALSE(at::equal(features[0], features[1]));
    EXPECT_GT(cosine(features), 0.99);
    EXPECT_GT(cosine(gradients), split ? 0.4 : 0.85);
    EXPECT_NEAR((gradients[1].norm() / gradients[0].norm()).item<double>(), 1, 0.2);
  }
}

TEST(VideoResNet, GroupNormMakesClipsIndependent) {
  const auto net = make(true, 0.25, {.kind = "group"});
  const at::Tensor clips = values({3, 3, 4, 16, 16}, 0.1, at::kFloat);
  EXPECT_TRUE(net->named_buffers().is_empty());
  EXPECT_TRUE(at::allclose(net->forward(clips).narrow(0, 1, 1), net->forward(clips.narrow(0, 1, 1)),
                           1e-4, 1e-5));
}

TEST(VideoResNet, RefusesImages) {
  EXPECT_THROW(make(false, 0.125)->forward(at::zeros({2, 3, 16, 16})), c10::Error);
}

}  // namespace
}  // namespace cltrain
