// Names, shapes and counts of the ResNets against torchvision's (make_golden_resnets.py).
#include "models/nets/resnet.h"
#include "tests/models/golden.h"

namespace cltrain {
namespace {

using Shapes = std::map<std::string, std::string>;

Shapes shapes_of(const std::shared_ptr<Encoder>& net) {
  return testing::states_of(*net).shapes;
}

TEST(ResNet, NamesShapesAndCountsAreTorchvisions) {
  const auto golden = testing::golden_states("resnet_states.txt");
  ASSERT_EQ(golden.size(), 5u);
  for (const int64_t depth : {18, 34, 50, 101, 152}) {
    SCOPED_TRACE(depth);
    const auto net = make_resnet({.depth = depth, .norm = {.kind = "local"}}, 1);
    const testing::States& expected = golden.at("resnet" + std::to_string(depth));
    const testing::States found = testing::states_of(*net);
    EXPECT_EQ(found.shapes, expected.shapes);
    EXPECT_EQ(found.parameters, expected.parameters);
    EXPECT_EQ(net->feature_dim(), depth < 50 ? 512 : 2048);
  }
}

TEST(ResNet, SmallStemChangesTheFirstConvolutionOnly) {
  Shapes large = shapes_of(make_resnet({.width = 0.125, .norm = {.kind = "local"}}, 1));
  const Shapes small =
      shapes_of(make_resnet({.width = 0.125, .small_stem = true, .norm = {.kind = "local"}}, 1));
  large.at("conv1.weight") = "8x3x3x3";
  EXPECT_EQ(small, large);
}

TEST(ResNet, WidthScalesEveryChannelCount) {
  const auto net = make_resnet({.width = 0.25, .norm = {.kind = "local"}}, 1);
  const Shapes shapes = shapes_of(net);
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
  EXPECT_EQ(shapes_of(net).at("layer1.0.bn1.weight"), "16");
}

TEST(ResNet, RefusesADepthThatDoesNotExist) {
  EXPECT_THROW(make_resnet({.depth = 20, .norm = {.kind = "local"}}, 1), c10::Error);
}

}  // namespace
}  // namespace cltrain
