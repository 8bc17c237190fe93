// Vision Transformers against timm's (make_golden_vits.py): names, shapes, and in float64 features
// and every gradient; MoCo v3's positions and initial weights; frozen patches; empty batches.
#include "models/nets/vision_transformer.h"

#include "models/nets/layers.h"
#include "ops/initial_weights.h"
#include "tests/models/golden.h"
#include "tests/models/values.h"
#include "train/autocast.h"

namespace cltrain {
namespace {

using testing::filled;
using testing::values;

const VisionTransformerSettings kSmall{
    .dim = 48, .depth = 3, .heads = 4, .patch = 8, .image_size = 24, .freeze_patch = false};

std::shared_ptr<Encoder> make(VisionTransformerSettings settings = kSmall) {
  return make_vision_transformer(settings, 1);
}

VisionTransformerSettings frozen() {
  VisionTransformerSettings settings = kSmall;
  settings.freeze_patch = true;
  return settings;
}

TEST(VisionTransformer, ComputesWhatTimmDoes) {
  const testing::Golden golden("vit_features.txt");
  for (const auto& settings : {kSmall, frozen()}) {
    const auto net = make(settings);
    const at::Tensor images = filled("images", {3, 3, 24, 24});
    move_to(*net, at::kCPU, at::kDouble);
    testing::fill(*net);
    net->eval();
    EXPECT_LT(golden.error_of(net->forward(images), "vit.eval"), 1e-12);
    net->train();
    const at::Tensor trained = net->forward(images);
    EXPECT_LT(golden.error_of(trained, "vit.train"), 1e-12);
    if (!settings.freeze_patch) {
      (trained * filled("upstream", trained.sizes())).sum().backward();
      std::map<std::string, at::Tensor> gradients;
      for (const auto& item : net->named_parameters()) gradients[item.key()] = item.value().grad();
      golden.expect_summaries(gradients, "vit.gradients", 1e-11, 1);
    }
    net->zero_grad();
    move_to(*net, at::kCPU, at::kFloat);
    testing::fill(*net);
    EXPECT_LT(golden.error_of(net->forward(images.to(at::kFloat)), "vit.eval"), 1e-5);
  }
}

// Whether the patch projection is trained or not: it is saved under timm's name.
TEST(VisionTransformer, NamesShapesAndCountsAreTimms) {
  const auto golden = testing::golden_states("vit_states.txt");
  struct Case {
    const char* name;
    int64_t dim;
    bool freeze;
  };
  for (const Case& one :
       {Case{"vit_small", 384, true}, {"vit_small", 384, false}, {"vit_base", 768, true}}) {
    const auto net = make({.dim = one.dim, .image_size = 224, .freeze_patch = one.freeze});
    const testing::States found = testing::states_of(*net);
    const testing::States& expected = golden.at(one.name);
    EXPECT_EQ(found.shapes, expected.shapes);
    const int64_t fixed = one.dim * (197 + (one.freeze ? 3 * 16 * 16 + 1 : 0));
    EXPECT_EQ(found.parameters, expected.parameters - fixed);
    EXPECT_EQ(net->feature_dim(), one.dim);
  }
}

TEST(VisionTransformer, PositionsAreMocos) {
  const testing::Golden golden("vit_features.txt");
  EXPECT_LT(golden.error_of(sine_positions(3, 16), "positions"), 1e-7);
  const auto net = make();
  EXPECT_TRUE(at::equal(net->named_buffers()["pos_embed"], sine_positions(3, 48)));
}

TEST(VisionTransformer, InitialWeightsAreMocosAndKeyed) {
  const auto net = make(), again = make(), other = make_vision_transformer(kSmall, 2);
  const auto parameters = net->named_parameters();
  const std::map<std::string, double> bounds{
      {"blocks.1.attn.qkv.weight", std::sqrt(6.0 / (48 + 48))},  // each of three by itself
      {"blocks.1.attn.proj.weight", std::sqrt(6.0 / (48 + 48))},
      {"blocks.1.mlp.fc1.weight", std::sqrt(6.0 / (48 + 192))},
      {"blocks.1.mlp.fc2.weight", std::sqrt(6.0 / (192 + 48))},
      {"patch_embed.proj.weight", std::sqrt(6.0 / (3 * 8 * 8 + 48))}};
  for (const auto& [name, bound] : bounds) {
    at::Tensor alone = at::empty_like(parameters[name]).detach();
    fill_uniform(alone, bound, 1, "encoder." + name);
    EXPECT_TRUE(at::equal(parameters[name], alone)) << name;
    EXPECT_FALSE(at::equal(parameters[name], other->named_parameters()[name])) << name;
  }
  EXPECT_NEAR(parameters["cls_token"].std().item<double>(), 1e-6, 3e-7);
  for (const auto& item : parameters) {
    EXPECT_TRUE(at::equal(item.value(), again->named_parameters()[item.key()])) << item.key();
    if (item.value().dim() == 1) {
      const double expected = item.key().ends_with("weight") ? 1 : 0;
      EXPECT_TRUE((item.value() == expected).all().item<bool>()) << item.key();
    }
  }
  // A frozen projection is the one that would have been trained.
  EXPECT_TRUE(at::equal(make(frozen())->named_buffers()["patch_embed.proj.weight"],
                        parameters["patch_embed.proj.weight"]));
}

TEST(VisionTransformer, WhatIsFrozenIsNoParameter) {
  const auto net = make(frozen());
  const auto buffers = net->named_buffers(), parameters = net->named_parameters();
  for (const char* name : {"pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}) {
    EXPECT_FALSE(parameters.contains(name)) << name;
    ASSERT_TRUE(buffers.contains(name)) << name;
    EXPECT_FALSE(buffers[name].requires_grad()) << name;
  }
  EXPECT_EQ(make()->named_buffers().size(), 1u);
}

TEST(VisionTransformer, NoImagesRunTheWholeGraph) {
  for (const bool bfloat16 : {false, true}) {
    const auto net = make();
    at::Tensor features;
    {
      const AutocastGuard autocast(at::kCPU, bfloat16);
      features = net->forward(at::zeros({0, 3, 24, 24}));
    }
    EXPECT_EQ(features.sizes(), (std::vector<int64_t>{0, 48}));
    features.sum().backward();
    for (const auto& item : net->named_parameters()) {
      ASSERT_TRUE(item.value().grad().defined()) << item.key();
      EXPECT_EQ(item.value().grad().abs().sum().item<double>(), 0) << item.key();
    }
  }
}

// Products in bfloat16, tokens and features in float32.
TEST(VisionTransformer, Bfloat16FollowsFloat32) {
  const auto net = make();
  const at::Tensor images = values({4, 3, 24, 24}, 0.1, at::kFloat);
  std::vector<at::Tensor> features, gradients;
  for (const bool bfloat16 : {false, true}) {
    net->zero_grad();
    {
      const AutocastGuard autocast(at::kCPU, bfloat16);
      features.push_back(net->forward(images));
    }
    EXPECT_EQ(features.back().scalar_type(), at::kFloat);
    (features.back() * values({4, 48}, 0.7, at::kFloat)).sum().backward();
    std::vector<at::Tensor> all;
    for (const auto& item : net->named_parameters()) all.push_back(item.value().grad().flatten());
    gradients.push_back(at::cat(all));
  }
  EXPECT_FALSE(at::equal(features[0], features[1]));
  EXPECT_GT(at::cosine_similarity(features[0], features[1], 1).min().item<double>(), 0.999);
  EXPECT_GT(at::cosine_similarity(gradients[0], gradients[1], 0).item<double>(), 0.99);
}

TEST(VisionTransformer, WidthKeepsEightChannelsAHead) {
  EXPECT_EQ(scaled_dim(384, 12, 1), 384);
  EXPECT_EQ(scaled_dim(768, 12, 1), 768);
  EXPECT_EQ(scaled_dim(384, 12, 0.5), 192);
  EXPECT_EQ(scaled_dim(384, 12, 0.6), 192);
  EXPECT_EQ(scaled_dim(384, 12, 0.01), 96);
}

TEST(VisionTransformer, RefusesWhatDoesNotFit) {
  const auto with = [](auto&& change) {
    VisionTransformerSettings settings = kSmall;
    change(settings);
    return settings;
  };
  for (const auto& settings :
       {with([](auto& s) { s.patch = 7; }), with([](auto& s) { s.patch = 0; }),
        with([](auto& s) { s.patch = 48; }), with([](auto& s) { s.image_size = 0; }),
        with([](auto& s) { s.dim = 50; }), with([](auto& s) { s.depth = 0; })}) {
    EXPECT_FALSE(problem_of(settings).empty());
    EXPECT_THROW(make(settings), c10::Error);
  }
  EXPECT_NE(problem_of(with([](auto& s) { s.patch = 48; })).find("model.patch=24"),
            std::string::npos);
  EXPECT_THROW(make()->forward(at::zeros({2, 3, 16, 16})), c10::Error);
  EXPECT_THROW(make()->forward(at::zeros({2, 1, 24, 24})), c10::Error);
}

}  // namespace
}  // namespace cltrain
