// Weights in and out: what a file holds, what is taken from it, and what is refused whole.
#include "train/weights.h"

#include "models/nets/resnet.h"
#include "models/nets/sequence_encoder.h"
#include "models/nets/small_conv.h"
#include "models/nets/video_resnet.h"
#include "models/nets/vision_transformer.h"
#include "tests/train/folder.h"
#include "train/digest.h"
#include "train/files.h"
#include "train/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include <ATen/Functions.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::mentions;

std::shared_ptr<Encoder> resnet(uint64_t seed, double width = 1.0 / 32) {
  return make_resnet({.depth = 18, .width = width, .small_stem = true, .norm = {.kind = "local"}},
                     seed);
}

std::shared_ptr<Encoder> transformer(uint64_t seed, int64_t image_size = 16,
                                     bool freeze_patch = true) {
  return make_vision_transformer({.dim = 16,
                                  .depth = 2,
                                  .heads = 2,
                                  .patch = 4,
                                  .image_size = image_size,
                                  .freeze_patch = freeze_patch},
                                 seed);
}

std::shared_ptr<Encoder> video(uint64_t seed, bool split) {
  return make_video_resnet({.split = split, .width = 1.0 / 32, .norm = {.kind = "local"}}, seed);
}

std::map<std::string, at::Tensor> state_of(const torch::nn::Module& net) {
  std::map<std::string, at::Tensor> all;
  for (const auto& item : net.named_parameters()) all[item.key()] = item.value().detach();
  for (const auto& item : net.named_buffers()) all[item.key()] = item.value();
  return all;
}

/// As after training: no buffer has its first value.
void shake_buffers(torch::nn::Module& net) {
  for (const auto& item : net.named_buffers())
    item.value().is_floating_point() ? item.value().uniform_(0.5, 1.5) : item.value().fill_(7);
}

bool equal_states(const torch::nn::Module& a, const torch::nn::Module& b) {
  const auto left = state_of(a), right = state_of(b);
  return left.size() == right.size() &&
         std::all_of(left.begin(), left.end(), [&](const auto& item) {
           return right.count(item.first) && at::equal(item.second, right.at(item.first));
         });
}

class Weights : public ::testing::Test {
 protected:
  fs::path file() const { return root_ / "encoder.safetensors"; }
  nlohmann::json header() const {
    const std::string text = testing::read_text(file());
    uint64_t length = 0;
    std::memcpy(&length, text.data(), sizeof(length));
    return nlohmann::json::parse(text.substr(sizeof(length), length));
  }
  /// The file of a net, changed by `change`.
  template <class Change>
  void write_changed(const torch::nn::Module& net, const Change& change) {
    std::map<std::string, at::Tensor> state = state_of(net);
    change(state);
    write_safetensors(file(), {state.begin(), state.end()});
  }
  testing::TemporaryFolder root_;
};

TEST_F(Weights, AnExportHoldsEveryTensorOnceWithoutPrefixAndSaysWhatItIs) {
  const auto net = resnet(1);
  shake_buffers(*net);
  const std::string sha256 = export_backbone(*net, file(), {{"step", "12"}, {"model", "resnet18"}});
  const nlohmann::json text = header();
  const auto state = state_of(*net);
  EXPECT_EQ(text.size(), state.size() + 1);
  EXPECT_TRUE(text.contains("conv1.weight"));
  EXPECT_EQ(text.at("layer1.0.bn1.running_mean").at("dtype"), "F32");
  EXPECT_EQ(text.at("layer2.0.downsample.1.num_batches_tracked").at("dtype"), "I64");
  EXPECT_EQ(text.at("layer2.0.downsample.1.num_batches_tracked").at("shape").size(), 0u);
  const auto& metadata = text.at("__metadata__");
  EXPECT_EQ(metadata.at("step"), "12");
  EXPECT_EQ(metadata.at("model"), "resnet18");
  EXPECT_EQ(metadata.at("format"), "pt");
  EXPECT_EQ(metadata.at("sha256"), sha256);
  EXPECT_EQ(sha256, sha256_of_state({state.begin(), state.end()}, {}));
  EXPECT_EQ(std::distance(fs::directory_iterator(root_.path()), {}), 1) << "a leftover";
}

TEST_F(Weights, ComeBackBitForBit) {
  const auto net = resnet(1), other = resnet(2);
  shake_buffers(*net);
  export_backbone(*net, file(), {});
  ASSERT_FALSE(equal_states(*net, *other));
  const void* before = state_of(*other).at("conv1.weight").data_ptr();
  const InitialWeights read = load_initial_weights(*other, file());
  EXPECT_TRUE(equal_states(*net, *other));
  EXPECT_EQ(state_of(*other).at("conv1.weight").data_ptr(), before);
  EXPECT_TRUE(other->parameters().front().requires_grad());
  EXPECT_TRUE(read.ignored.empty());
  EXPECT_EQ(read.sha256, header().at("__metadata__").at("sha256"));
}

TEST_F(Weights, TheClassifierIsLeftOutAndReported) {
  const auto net = resnet(1), other = resnet(2);
  write_changed(*net, [](auto& state) {
    state["fc.weight"] = at::ones({10, 16});
    state["fc.bias"] = at::ones({10});
  });
  EXPECT_EQ(load_initial_weights(*other, file()).ignored,
            (std::vector<std::string>{"fc.bias", "fc.weight"}));
  EXPECT_TRUE(equal_states(*net, *other));
}

TEST_F(Weights, ACheckpointGivesItsEncoder) {
  const auto net = resnet(1), other = resnet(2);
  std::vector<NamedTensor> all{{"model.head.0.weight", at::ones({3})},
                               {"model.log_scale", at::ones({})},
                               {"optim.all.velocity", at::ones({5})}};
  for (const auto& [name, tensor] : state_of(*net))
    all.emplace_back("model.encoder." + name, tensor);
  write_safetensors(file(), all);
  EXPECT_EQ(load_initial_weights(*other, file()).ignored.size(), 3u);
  EXPECT_TRUE(equal_states(*net, *other));
}

TEST_F(Weights, ACheckpointWithItsBestWeightsGivesThose) {
  const auto last = resnet(1), best = resnet(2), other = resnet(3);
  std::vector<NamedTensor> all{{"best.counts", at::ones({3}, at::kLong)}};
  for (const auto& [name, tensor] : state_of(*last))
    all.emplace_back("model.encoder." + name, tensor);
  for (const auto& [name, tensor] : state_of(*best))
    all.emplace_back("best.model.encoder." + name, tensor);
  write_safetensors(file(), all);
  load_initial_weights(*other, file());
  EXPECT_TRUE(equal_states(*best, *other));
}

TEST_F(Weights, WhatS3RecPretrainsWithIsLeftOutOfItsEncoder) {
  const auto recommender = [](uint64_t seed) {
    auto net = std::make_shared<SequenceEncoder>(SequenceEncoderSettings{
        .items = 9, .max_length = 5, .layers = 1, .layer = {.dim = 8, .inner = 16}});
    initialize_sequence_layers(*net, seed);
    return net;
  };
  const auto net = recommender(1), other = recommender(2);
  std::vector<NamedTensor> all{{"aap_norm.weight", at::ones({8, 8})},
                               {"attribute_embeddings.weight", at::ones({3, 8})}};
  for (const auto& item : state_of(*net)) all.push_back(item);
  write_safetensors(file(), all);
  EXPECT_EQ(load_initial_weights(*other, file()).ignored,
            (std::vector<std::string>{"aap_norm.weight", "attribute_embeddings.weight"}));
  EXPECT_TRUE(equal_states(*net, *other));
}

// Frozen weights travel like others, and go into a network that trains them.
TEST_F(Weights, OfEveryFamilyComeBackBitForBit) {
  const std::vector<std::array<std::shared_ptr<Encoder>, 2>> pairs{
      {transformer(1), transformer(2)},
      {transformer(1), transformer(2, 16, /*freeze_patch=*/false)},
      {transformer(1, 16, /*freeze_patch=*/false), transformer(2)},
      {video(1, false), video(2, false)},
      {video(1, true), video(2, true)}};
  for (const auto& [net, other] : pairs) {
    shake_buffers(*net);
    export_backbone(*net, file(), {});
    ASSERT_FALSE(equal_states(*net, *other));
    load_initial_weights(*other, file());
    EXPECT_TRUE(equal_states(*net, *other));
  }
}

TEST_F(Weights, TimmsClassifierIsLeftOutAndOtherPositionsAreNamed) {
  const auto net = transformer(1), other = transformer(2), large = transformer(2, 24);
  write_changed(*net, [](auto& state) {
    state["head.weight"] = at::ones({10, 16});
    state["head.bias"] = at::ones({10});
  });
  EXPECT_EQ(load_initial_weights(*other, file()).ignored,
            (std::vector<std::string>{"head.bias", "head.weight"}));
  EXPECT_TRUE(equal_states(*net, *other));
  const std::string text = error_of<CheckpointError>([&] { load_initial_weights(*large, file()); });
  EXPECT_TRUE(mentions(text,
                       "pos_embed: the file has Float [1, 17, 16], the encoder Float "
                       "[1, 37, 16]"));
  EXPECT_TRUE(mentions(text, "augment.size"));
}

TEST_F(Weights, EveryFloatingPointTypeIsConverted) {
  for (const at::ScalarType type : {at::kDouble, at::kHalf, at::kBFloat16}) {
    const auto net = resnet(1), other = resnet(2);
    write_changed(*net, [&](auto& state) {
      for (auto& [name, tensor] : state)
        if (tensor.is_floating_point()) tensor = tensor.to(type);
    });
    load_initial_weights(*other, file());
    const auto wanted = state_of(*net), found = state_of(*other);
    for (const auto& [name, tensor] : found) {
      EXPECT_EQ(tensor.scalar_type(), wanted.at(name).scalar_type()) << name;
      EXPECT_TRUE(
          at::equal(tensor, wanted.at(name)
                                .to(header().at(name).at("dtype") == "I64" ? at::kLong : type)
                                .to(tensor.scalar_type())))
          << name;
    }
  }
}

TEST_F(Weights, EveryDifferenceIsNamedAndNothingIsChanged) {
  const auto net = resnet(1), other = resnet(2), untouched = resnet(2);
  write_changed(*net, [](auto& state) {
    state.erase("conv1.weight");
    state.erase("layer4.1.bn2.running_var");
    state["layer1.0.conv1.weight"] = at::ones({2, 2, 1, 1});
    state["bn1.num_batches_tracked"] = at::ones({});
    state["bn1.running_var"].fill_(std::numeric_limits<float>::quiet_NaN());
    state["layer3.0.conv1.weight"] = state["layer3.0.conv1.weight"].to(at::kDouble).fill_(1e300);
    state["backbone.extra"] = at::ones({2});
    state["fc.weight"] = at::ones({10, 16});
  });
  const std::string text = error_of<CheckpointError>([&] { load_initial_weights(*other, file()); });
  for (const std::string& part :
       {file().string(), std::string("missing in the file: conv1.weight (Float [2, 3, 3, 3])"),
        std::string("missing in the file: layer4.1.bn2.running_var (Float [16])"),
        std::string("layer1.0.conv1.weight: the file has Float [2, 2, 1, 1], the encoder Float "
                    "[2, 2, 3, 3]"),
        std::string("bn1.num_batches_tracked: the file has Float [], the encoder Long []"),
        std::string("bn1.running_var: it holds values that are not finite"),
        std::string("layer3.0.conv1.weight: it holds values that are not finite as Float"),
        std::string("only in the file: backbone.extra (Float [2])"), std::string("model.width")})
    EXPECT_TRUE(mentions(text, part)) << part << " is not in\n" << text;
  EXPECT_FALSE(mentions(text, "fc.weight")) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 8) << text;
  EXPECT_TRUE(equal_states(*other, *untouched));
}

/// A method as far as weights know one.
class OnlyEncoder : public Method {
 public:
  explicit OnlyEncoder(std::shared_ptr<Encoder> encoder)
      : encoder_(register_module("encoder", std::move(encoder))) {
    register_buffer("queue", at::ones({3}));
  }
  std::vector<ParameterGroup> groups() override { return {}; }
  std::vector<Phase> plan(int64_t, int64_t) const override { return {}; }
  std::vector<at::Tensor> encode(const Phase&, const Batch&, const StepContext&) override {
    return {};
  }
  LossShare contrast(const Phase&, const std::vector<at::Tensor>&, const Batch&,
                     const StepContext&) override {
    return {};
  }
  at::Tensor embed(const at::Tensor& images) override { return encoder_->forward(images); }
  LossPlan plan_loss(const LossShape&, const ContrastSettings&) const override { return {}; }
  int64_t negatives_per_anchor(int64_t) const override { return 0; }

 private:
  std::shared_ptr<Encoder> encoder_;
};

TEST_F(Weights, OfAMethodItIsTheEncoder) {
  const auto net = resnet(1), other = resnet(2);
  shake_buffers(*net);
  OnlyEncoder method(net), second(other);
  EXPECT_EQ(&backbone_of(method), net.get());
  export_backbone(method, file(), {});
  EXPECT_EQ(header().size(), state_of(*net).size() + 1);
  load_initial_weights(second, file());
  EXPECT_TRUE(equal_states(*net, *other));
}

TEST_F(Weights, AnotherNetworkIsRefused) {
  export_backbone(*resnet(1), file(), {});
  const auto wide = resnet(2, 1.0 / 16);
  const auto small = make_small_conv(0.25, {.kind = "local"}, 2);
  EXPECT_TRUE(mentions(error_of<CheckpointError>([&] { load_initial_weights(*wide, file()); }),
                       "conv1.weight: the file has Float [2, 3, 3, 3]"));
  EXPECT_TRUE(mentions(error_of<CheckpointError>([&] { load_initial_weights(*small, file()); }),
                       "only in the file: layer1.0.conv1.weight"));
}

TEST_F(Weights, OtherFilesAreCalledWhatTheyAre) {
  const auto net = resnet(1);
  const auto text_of = [&](const fs::path& path) {
    return error_of<CheckpointError>([&] { load_initial_weights(*net, path); });
  };
  EXPECT_TRUE(mentions(text_of(root_ / "none"), (root_ / "none").string()));
  EXPECT_TRUE(mentions(text_of(root_.path()), "is a folder"));
  testing::write_text(file(), std::string("PK\x03\x04", 4) + std::string(100, '\0'));
  EXPECT_TRUE(mentions(text_of(file()), "torch.save"));
  testing::write_text(file(), "x");
  EXPECT_TRUE(mentions(text_of(file()), "not a sound safetensors file"));
  write_safetensors(file(), {});
  EXPECT_TRUE(mentions(text_of(file()), "missing in the file: conv1.weight"));
}

TEST_F(Weights, AnExportThatCannotBeWrittenIsAnIoError) {
  const fs::path nowhere = root_ / "none" / "x.safetensors";
  EXPECT_TRUE(mentions(error_of<IoError>([&] { export_backbone(*resnet(1), nowhere, {}); }),
                       nowhere.string()));
}

}  // namespace
}  // namespace cltrain
