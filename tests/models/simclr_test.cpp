// The registry, and SimCLR's loss on one rank against loops over its own embeddings.
#include "data/clicks/open_clicks.h"
#include "data/sequences/sequence_rows.h"
#include "models/nets/layers.h"
#include "models/nets/projection_head.h"
#include "models/registry.h"
#include "tests/eval/one_rank.h"
#include "tests/support/sequence_lists.h"

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

at::Tensor images(int64_t rows, double phase) {
  return (at::arange(rows * 3 * 8 * 8, at::kDouble) * 0.77 + phase).sin().view({rows, 3, 8, 8});
}

MethodOptions small_simclr() {
  MethodOptions options;
  options.model.name = "small_conv";
  options.model.width = 0.125;
  options.model.head_out = 6;
  options.simclr.temperature = 0.2;
  return options;
}

Communicators one_rank_communicators() {
  return {testing::one_rank(), testing::one_rank(), testing::one_rank()};
}

TEST(Registry, EveryNameOfTheTablesCanBeBuilt) {
  const auto alone = testing::one_rank();
  const std::vector<std::string> models = names_of(model_table());
  EXPECT_EQ(models,
            (std::vector<std::string>{"resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
                                      "small_conv", "vit_small", "vit_base", "r3d18", "r2plus1d18",
                                      "item_transformer", "backbone"}));
  const SequenceSet sequences(std::make_shared<const Interactions>(
      testing::interactions_of({{1, 2, 3, 4}, {4, 3, 2, 1, 5}})));
  const ClickPair clicks = synthetic_clicks(100, 6);
  for (const std::string& method : names_of(method_table()))
    for (const std::string& model : models) {
      MethodOptions options;
      options.name = method;
      options.model.name = model;
      options.model.width = 0.0625;
      options.moco.queue = options.videomoco.queue = 64;
      options.easyrec.model = CLTRAIN_SOURCE "/tests/equivalence/click_model.yaml";
      const InputKind reads = method_line(method).input;
      if ((reads == InputKind::kSequences) != (model == "item_transformer")) continue;
      if ((reads == InputKind::kClicks) != (model == "backbone")) continue;
      const InputShape input{.size = 32,
                             .frames = 8,
                             .classes = 10,
                             .length = 6,
                             .sequences = &sequences,
                             .clicks = &clicks.train->columns()};
      EXPECT_GT(make_method(options, 1, *alone, input)->parameters().size(), 0u) << method << model;
    }
  for (const RegistryLine& line : model_table()) EXPECT_FALSE(line.description.empty());
  for (const RegistryLine& line : method_table()) EXPECT_FALSE(line.description.empty());
}

TEST(Registry, AnEncoderHasToFitTheMethodAndTheImages) {
  MethodOptions options = small_simclr();
  EXPECT_TRUE(problems(options, {.size = 28}).empty());
  for (const char* model : {"vit_small", "vit_base"}) {
    options.model.name = model;
    const std::vector<std::string> found = problems(options, {.size = 28});
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0],
              "model.patch=16 does not divide augment.size=28, the side of the images; set "
              "model.patch=14, or make augment.size a multiple of the patch");
    EXPECT_TRUE(problems(options, {.size = 32}).empty());
    EXPECT_EQ(problems(options, InputShape{}).size(), 1u) << "an unknown size";
  }
  options.model.name = "r3d18";
  const std::vector<std::string> found = problems(options, {.size = 32});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].find("model.name=r3d18 takes clips of video, and method.name=simclr trains on "
                          "images; allowed with it: resnet18, "),
            0u)
      << found[0];
  EXPECT_EQ(found[0].find("r2plus1d18"), std::string::npos) << found[0];
}

// A network whose weights depend on the image size is not made for a guess.
TEST(Registry, AVisionTransformerIsNotMadeForAnUnknownSize) {
  const auto alone = testing::one_rank();
  MethodOptions options = small_simclr();
  options.model.name = "vit_small";
  EXPECT_THROW(make_method(options, 1, *alone), c10::Error);
}

// What is frozen is part of the state, and of no group that an optimiser has.
TEST(Registry, AFrozenPatchProjectionIsInNoGroup) {
  const auto alone = testing::one_rank();
  MethodOptions options = small_simclr();
  options.model.name = "vit_small";
  options.model.width = 0.25;
  options.model.patch = 4;
  for (const bool freeze : {true, false}) {
    options.model.freeze_patch = freeze;
    const auto method = make_method(options, 1, *alone, {.size = 8});
    int64_t positions = 0, patches = 0;
    for (const ParameterGroup& group : method->groups())
      for (const auto& [name, parameter] : group.parameters) {
        positions += name == "encoder.pos_embed";
        patches += name.starts_with("encoder.patch_embed.");
      }
    EXPECT_EQ(positions, 0);
    EXPECT_EQ(patches, freeze ? 0 : 2);
    EXPECT_EQ(method->named_buffers().contains("encoder.patch_embed.proj.weight"), freeze);
    EXPECT_TRUE(method->named_buffers().contains("encoder.pos_embed"));
  }
}

TEST(Registry, RefusesNamesItDoesNotHave) {
  const auto alone = testing::one_rank();
  MethodOptions options = small_simclr();
  options.name = "byol2";
  EXPECT_THROW(make_method(options, 1, *alone), c10::Error);
  options = small_simclr();
  options.model.name = "vit";
  EXPECT_THROW(make_method(options, 1, *alone), c10::Error);
}

TEST(Registry, SeedDecidesTheWeights) {
  const auto alone = testing::one_rank();
  const auto first = make_method(small_simclr(), 3, *alone);
  const auto again = make_method(small_simclr(), 3, *alone);
  const auto other = make_method(small_simclr(), 4, *alone);
  for (const auto& item : first->named_parameters()) {
    EXPECT_TRUE(at::equal(item.value(), again->named_parameters()[item.key()])) << item.key();
    if (item.value().dim() < 2) continue;
    EXPECT_FALSE(at::equal(item.value(), other->named_parameters()[item.key()])) << item.key();
  }
}

/// Equation 1 of the paper over rows 0..B-1 (first views) and B..2B-1 (second views).
double plain_nt_xent(const at::Tensor& embeddings, double temperature) {
  const int64_t rows = embeddings.size(0), width = embeddings.size(1);
  const at::Tensor z = embeddings.contiguous();
  const auto* data = z.const_data_ptr<double>();
  const auto cosine = [&](int64_t i, int64_t j) {
    double dot = 0, first = 0, second = 0;
    for (int64_t d = 0; d < width; ++d) {
      dot += data[i * width + d] * data[j * width + d];
      first += data[i * width + d] * data[i * width + d];
      second += data[j * width + d] * data[j * width + d];
    }
    return dot / std::sqrt(first * second);
  };
  double loss = 0;
  for (int64_t i = 0; i < rows; ++i) {
    double denominator = 0;
    for (int64_t j = 0; j < rows; ++j)
      if (j != i) denominator += std::exp(cosine(i, j) / temperature);
    loss += std::log(denominator) - cosine(i, (i + rows / 2) % rows) / temperature;
  }
  return loss / static_cast<double>(rows);
}

TEST(Simclr, LossIsThePapersOverItsOwnEmbeddings) {
  const Communicators communicators = one_rank_communicators();
  const auto method = make_method(small_simclr(), 3, *communicators.loss);
  move_to(*method, at::kCPU, at::kDouble);
  Batch batch;
  batch.tensors = {{"view0", images(5, 0.1)}, {"view1", images(5, 0.7)}};
  const StepContext context{communicators, 3, 0, 0, {5}};
  const Phase phase = method->plan(0, 1)[0];
  const std::vector<at::Tensor> encoded = method->encode(phase, batch, context);
  ASSERT_EQ(encoded.size(), 2u);
  for (const at::Tensor& view : encoded) {
    EXPECT_EQ(view.sizes(), (at::IntArrayRef{5, 6}));
    EXPECT_LT((view.norm(2, {1}) - 1).abs().max().item<double>(), 1e-12);
  }
  const LossShare share = method->contrast(phase, encoded, batch, context);
  ASSERT_EQ(share.embeddings.size(), 2u);
  EXPECT_TRUE(at::equal(share.embeddings[1], encoded[1]));
  // The same forward pass by hand; the head is the child named "head".
  const at::Tensor features =
      method->embed(at::cat({batch.tensors.at("view0"), batch.tensors.at("view1")}));
  const auto head = std::dynamic_pointer_cast<ProjectionHead>(method->named_children()["head"]);
  ASSERT_TRUE(head);
  EXPECT_NEAR(share.share.item<double>(), plain_nt_xent(head->forward(features).detach(), 0.2),
              1e-12);
  ASSERT_EQ(share.scalars.size(), 1u);
  EXPECT_EQ(share.scalars[0].first, "temperature");
  EXPECT_NEAR(share.scalars[0].second, 0.2, 1e-12);
  EXPECT_EQ(method->negatives_per_anchor(5), 8);
}

TEST(Simclr, TheTemperatureIsLearnedWhenAsked) {
  const Communicators communicators = one_rank_communicators();
  for (const bool learn : {false, true}) {
    MethodOptions options = small_simclr();
    options.simclr.learn_temperature = learn;
    const auto method = make_method(options, 3, *communicators.loss);
    move_to(*method, at::kCPU, at::kDouble);
    EXPECT_EQ(method->named_parameters().contains("log_scale"), learn);
    EXPECT_EQ(method->named_buffers().contains("log_scale"), !learn);
    EXPECT_EQ(method->groups()[0].parameters.size(), method->parameters().size());
    if (!learn) continue;
    const auto loss = [&] {
      Batch batch;
      batch.tensors = {{"view0", images(4, 0.1)}, {"view1", images(4, 0.7)}};
      const StepContext context{communicators, 3, 0, 0, {4}};
      const Phase phase = method->plan(0, 1)[0];
      return method->contrast(phase, method->encode(phase, batch, context), batch, context).share;
    };
    loss().backward();
    at::Tensor log_scale = method->named_parameters()["log_scale"];
    const double found = log_scale.grad().item<double>();
    log_scale.detach().add_(1e-5);
    const double above = loss().item<double>();
    log_scale.detach().sub_(2e-5);
    EXPECT_NEAR(found, (above - loss().item<double>()) / 2e-5, 1e-8);
  }
}

}  // namespace
}  // namespace cltrain
