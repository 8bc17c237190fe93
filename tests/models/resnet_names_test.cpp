// Names, shapes and counts of the ResNets against torchvision's (make_golden_resnets.py).
#include "models/nets/resnet.h"

#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using Shapes = std::map<std::string, std::string>;

std::string shape_text(const at::Tensor& tensor) {
  std::string text;
  for (const int64_t extent : tensor.sizes())
    text += (text.empty() ? "" : "x") + std::to_string(extent);
  return text.empty() ? "scalar" : text;
}

Shapes state_of(const torch::nn::Module& net) {
  Shapes shapes;
  for (const auto& item : net.named_parameters()) shapes[item.key()] = shape_text(item.value());
  for (const auto& item : net.named_buffers()) shapes[item.key()] = shape_text(item.value());
  return shapes;
}

int64_t parameter_count(const torch::nn::Module& net) {
  int64_t count = 0;
  for (const at::Tensor& parameter : net.parameters()) count += parameter.numel();
  return count;
}

struct Golden {
  int64_t parameters = 0;
  Shapes shapes;
};

std::map<std::string, Golden> read_golden() {
  std::ifstream file(CLTRAIN_TEST_FILES "/golden/resnet_states.txt");
  std::map<std::string, Golden> all;
  std::string line, current;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string name, value;
    words >> name >> value;
    if (line[0] != ' ') {
      current = name;
      all[current].parameters = std::stoll(value);
    } else {
      all[current].shapes[name] = value;
    }
  }
  return all;
}

TEST(ResNet, NamesShapesAndCountsAreTorchvisions) {
  const std::map<std::string, Golden> golden = read_golden();
  ASSERT_EQ(golden.size(), 5u);
  for (const int64_t depth : {18, 34, 50, 101, 152}) {
    SCOPED_TRACE(depth);
    const auto net = make_resnet({.depth = depth, .norm = {.kind = "local"}}, 1);
    const Golden& expected = golden.at("resnet" + std::to_string(depth));
    EXPECT_EQ(state_of(*net), expected.shapes);
    EXPECT_EQ(parameter_count(*net), expected.parameters);
    EXPECT_EQ(net->feature_dim(), depth < 50 ? 512 : 2048);
  }
}

TEST(ResNet, SmallStemChangesTheFirstConvolutionOnly) {
  Shapes large = state_of(*make_resnet({.width = 0.125, .norm = {.kind = "local"}}, 1));
  const Shapes small =
      state_of(*make_resnet({.width = 0.125, .small_stem = true, .norm = {.kind = "local"}}, 1));
  large.at("conv1.weight") = "8x3x3x3";
  EXPECT_EQ(small, large);
}

TEST(ResNet, WidthScalesEveryChannelCount) {
  const auto net = make_resnet({.width = 0.25, .norm = {.kind = "local"}}, 1);
  const Shapes shapes = state_of(*net);
  EXPECT_EQ(net->feature_dim(), 128);
  EXPECT_EQ(shapes.at("conv1.weight"), "16x3x7x7");
  EXPECT_EQ(shapes.at("layer2.0.downsample.0.weight"), "32x16x1x1");
  EXPECT_EQ(shapes.at("layer4.1.bn2.weight"), "128");
  EXPECT_EQ(make_resnet({.depth = 50, .width = 0.5, .norm = {.kind = "local"}}, 1)->feature_dim(),
            1024);
}

TEST(ResNet, GroupNormHasNoRunningStatistics) {
  const auto net = make_resnet({.width = 0.25, .norm = {.kind = "group"}}, 1);
  EXPECT_TRUE(net->named_buffers().is_empty());
  EXPECT_EQ(state_of(*net).at("layer1.0.bn1.weight"), "16");
}

TEST(ResNet, RefusesADepthThatDoesNotExist) {
  EXPECT_THROW(make_resnet({.depth = 20, .norm = {.kind = "local"}}, 1), c10::Error);
}

}  // namespace
}  // namespace cltrain
