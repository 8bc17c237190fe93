// What the ResNets compute, against torchvision in float64 (make_golden_resnets.py): features,
// running statistics and gradients of networks whose weights follow the same formula on both sides.
#include "models/nets/resnet.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

/// The script's filled(): numbers in [-1, 1) of the name and the flat index.
at::Tensor filled(const std::string& name, at::IntArrayRef shape) {
  uint32_t salt = 0x811C9DC5;
  for (const char letter : name) salt = (salt ^ static_cast<unsigned char>(letter)) * 0x01000193u;
  at::Tensor values = at::empty(shape, at::kDouble);
  auto* out = values.mutable_data_ptr<double>();
  for (int64_t i = 0; i < values.numel(); ++i) {
    uint32_t h = static_cast<uint32_t>(i) * 0x9E3779B1u + salt;
    h = (h ^ (h >> 15)) * 0x85EBCA77u;
    h = (h ^ (h >> 13)) * 0xC2B2AE3Du;
    out[i] = (h ^ (h >> 16)) / 2147483648.0 - 1;
  }
  return values;
}

void fill_one(const std::string& name, at::Tensor tensor) {
  if (!tensor.is_floating_point()) return;
  const auto ends_with = [&](const std::string& end) {
    return name.size() >= end.size() && name.substr(name.size() - end.size()) == end;
  };
  at::Tensor values = filled(name, tensor.sizes());
  if (tensor.dim() == 4)
    values.mul_(std::sqrt(6.0 / static_cast<double>(tensor.numel() / tensor.size(0))));
  else if (ends_with("running_var"))
    values.mul_(0.5).add_(1);
  else if (ends_with("weight"))
    values.mul_(0.2).add_(1);
  else
    values.mul_(0.1);
  tensor.detach().copy_(values);
}

std::shared_ptr<Encoder> make(int64_t depth, bool small_stem, at::ScalarType type) {
  auto net = make_resnet({.depth = depth, .small_stem = small_stem, .norm = {.kind = "local"}}, 1);
  move_to(*net, at::kCPU, type);
  for (const auto& item : net->named_parameters()) fill_one(item.key(), item.value());
  for (const auto& item : net->named_buffers()) fill_one(item.key(), item.value());
  return net;
}

const std::map<std::string, std::vector<double>>& golden() {
  static const auto kAll = [] {
    std::map<std::string, std::vector<double>> all;
    std::ifstream file(CLTRAIN_TEST_FILES "/golden/resnet_features.txt");
    std::string name;
    for (size_t count = 0; file >> name >> count;) {
      std::vector<double>& values = all[name];
      values.resize(count);
      for (double& value : values) file >> value;
    }
    return all;
  }();
  return kAll;
}

/// Relative to the largest number of the golden vector.
double error_of(const at::Tensor& found, const std::string& name) {
  const std::vector<double>& expected = golden().at(name);
  const at::Tensor flat = found.detach().to(at::kDouble).contiguous().view(-1);
  EXPECT_EQ(flat.numel(), static_cast<int64_t>(expected.size())) << name;
  double worst = 0, largest = 0;
  for (size_t i = 0; i < std::min<size_t>(expected.size(), flat.numel()); ++i) {
    worst = std::max(worst, std::abs(flat.const_data_ptr<double>()[i] - expected[i]));
    largest = std::max(largest, std::abs(expected[i]));
  }
  EXPECT_GT(largest, 0) << name;
  return worst / largest;
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
