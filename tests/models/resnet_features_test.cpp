// What the ResNets compute, against torchvision in float64 (make_golden_resnets.py): features,
// running statistics and gradients of networks whose weights follow the same formula on both sides.
#include "models/nets/resnet.h"
#include "tests/models/golden.h"

namespace cltrain {
namespace {

using testing::filled;

std::shared_ptr<Encoder> make(int64_t depth, bool small_stem, at::ScalarType type) {
  auto net = make_resnet({.depth = depth, .small_stem = small_stem, .norm = {.kind = "local"}}, 1);
  move_to(*net, at::kCPU, type);
  testing::fill(*net);
  return net;
}

double error_of(const at::Tensor& found, const std::string& name) {
  static const testing::Golden kGolden("resnet_features.txt");
  return kGolden.error_of(found, name);
}

at::Tensor every(const at::Tensor& tensor, int64_t step) {
  return tensor.reshape({-1}).slice(0, 0, tensor.numel(), step);
}

void compare_in_double(int64_t depth, bool small_stem, int64_t side) {
  const std::string title = "resnet" + std::to_string(depth) + (small_stem ? "_small_stem" : "");
  const at::Tensor images = filled("images", {3, 3, side, side});
  const auto net = make(depth, small_stem, at::kDouble);
  net->eval();
  EXPECT_LT(error_of(net->forward(images).slice(1, 0, 4096, 16), title + ".eval"), 1e-12);
  net->train();
  const at::Tensor trained = net->forward(images);
  EXPECT_LT(error_of(trained.slice(1, 0, 4096, 16), title + ".train"), 1e-10);
  (trained * filled("upstream", trained.sizes())).sum().backward();
  commit_statistics(*net);
  const auto buffers = net->named_buffers();
  const auto parameters = net->named_parameters();
  const std::string last = depth >= 50 ? "layer4.2.bn3" : "layer4.1.bn2";
  EXPECT_LT(error_of(every(buffers["bn1.running_mean"], 4), title + ".bn1.running_mean"), 1e-12);
  EXPECT_LT(error_of(every(buffers["bn1.running_var"], 4), title + ".bn1.running_var"), 1e-12);
  EXPECT_LT(error_of(every(buffers[last + ".running_var"], 16), title + ".last.running_var"),
            1e-10);
  EXPECT_LT(error_of(every(parameters["conv1.weight"].grad(), 97), title + ".conv1.gradient"),
            1e-9);
  EXPECT_LT(error_of(every(parameters["bn1.weight"].grad(), 4), title + ".bn1.gradient"), 1e-9);
  const at::Tensor shortcut = parameters["layer2.0.downsample.0.weight"].grad();
  EXPECT_LT(error_of(every(shortcut, shortcut.numel() / 16), title + ".shortcut.gradient"), 1e-9);
}

TEST(ResNetFeatures, ResNet18IsTorchvisions) {
  compare_in_double(18, false, 64);
}
TEST(ResNetFeatures, ResNet18WithTheSmallStemIsTorchvisions) {
  compare_in_double(18, true, 16);
}
TEST(ResNetFeatures, ResNet50IsTorchvisions) {
  compare_in_double(50, false, 64);
}

TEST(ResNetFeatures, FloatIsTheSameToRounding) {
  const auto net = make(18, true, at::kFloat);
  const at::Tensor images = filled("images", {3, 3, 16, 16}).to(at::kFloat);
  net->eval();
  const std::string title = "resnet18_small_stem";
  EXPECT_LT(error_of(net->forward(images).slice(1, 0, 512, 16), title + ".eval"), 1e-5);
  net->train();
  EXPECT_LT(error_of(net->forward(images).slice(1, 0, 512, 16), title + ".train"), 1e-4);
}

}  // namespace
}  // namespace cltrain
