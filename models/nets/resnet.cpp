#include "models/nets/resnet.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/max_pool2d.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

// One residual block: `convolutions` of a basic block are 3x3, 3x3; of a bottleneck 1x1, 3x3, 1x1.
class Block : public torch::nn::Module {
 public:
  Block(int64_t in, int64_t planes, int64_t stride, bool bottleneck,
        const ResNetSettings& settings) {
    const int64_t out = bottleneck ? 4 * planes : planes;
    if (bottleneck) {
      add(1, in, planes, 1, 1, settings.norm);
      add(2, planes, planes, 3, stride, settings.norm);
      add(3, planes, out, 1, 1, settings.norm);
    } else {
      add(1, in, planes, 3, stride, settings.norm);
      add(2, planes, planes, 3, 1, settings.norm);
    }
    if (settings.zero_init_residual) norms_.back()->weight.detach().zero_();
    if (stride != 1 || in != out) {
      // torchvision holds the shortcut in a Sequential: its parts are named 0 and 1.
      auto shortcut = std::make_shared<torch::nn::Module>();
      shortcut_convolution_ =
          shortcut->register_module("0", std::make_shared<Conv2d>(in, out, 1, stride));
      shortcut_norm_ = shortcut->register_module("1", std::make_shared<Norm>(out, settings.norm));
      register_module("downsample", shortcut);
    }
  }

  at::Tensor forward(const at::Tensor& x) {
    at::Tensor y = x;
    for (size_t i = 0; i + 1 < convolutions_.size(); ++i)
      y = norms_[i]->forward_relu(convolutions_[i]->forward(y));
    y = convolutions_.back()->forward(y);
    const at::Tensor shortcut =
        shortcut_norm_ ? shortcut_norm_->forward(shortcut_convolution_->forward(x)) : x;
    return norms_.back()->forward_relu(y, shortcut);
  }

 private:
  void add(int number, int64_t in, int64_t out, int64_t kernel, int64_t stride,
           const NormSettings& norm) {
    const std::string suffix = std::to_string(number);
    convolutions_.push_back(register_module(
        "conv" + suffix, std::make_shared<Conv2d>(in, out, kernel, stride, kernel / 2)));
    norms_.push_back(register_module("bn" + suffix, std::make_shared<Norm>(out, norm)));
  }

  std::vector<std::shared_ptr<Conv2d>> convolutions_;
  std::vector<std::shared_ptr<Norm>> norms_;
  std::shared_ptr<Conv2d> shortcut_convolution_;
  std::shared_ptr<Norm> shortcut_norm_;
};

struct Plan {
  int64_t depth;
  bool bottleneck;
  std::array<int64_t, 4> blocks;
};
constexpr std::array<Plan, 5> kPlans{{{18, false, {2, 2, 2, 2}},
                                      {34, false, {3, 4, 6, 3}},
                                      {50, true, {3, 4, 6, 3}},
                                      {101, true, {3, 4, 23, 3}},
                                      {152, true, {3, 8, 36, 3}}}};

class ResNet : public Encoder {
 public:
  explicit ResNet(const ResNetSettings& settings) : small_stem_(settings.small_stem) {
    const auto plan = std::find_if(kPlans.begin(), kPlans.end(),
                                   [&](const Plan& p) { return p.depth == settings.depth; });
    TORCH_CHECK(plan != kPlans.end(), "no ResNet of depth ", settings.depth,
                "; allowed: 18, 34, 50, 101, 152");
    const auto base = std::max<int64_t>(1, std::llround(64 * settings.width));
    const int64_t kernel = small_stem_ ? 3 : 7;
    stem_ = register_module(
        "conv1", std::make_shared<Conv2d>(3, base, kernel, small_stem_ ? 1 : 2, kernel / 2));
    stem_norm_ = register_module("bn1", std::make_shared<Norm>(base, settings.norm));
    int64_t channels = base;
    for (int stage = 0; stage < 4; ++stage) {
      auto layer = std::make_shared<torch::nn::Module>();
      const int64_t planes = base << stage;
      for (int64_t i = 0; i < plan->blocks[stage]; ++i) {
        const int64_t stride = stage > 0 && i == 0 ? 2 : 1;
        blocks_.push_back(layer->register_module(
            std::to_string(i),
            std::make_shared<Block>(channels, planes, stride, plan->bottleneck, settings)));
        channels = plan->bottleneck ? 4 * planes : planes;
      }
      register_module("layer" + std::to_string(stage + 1), layer);
    }
    feature_dim_ = channels;
  }

  at::Tensor forward(const at::Tensor& images) override {
    at::Tensor x = stem_norm_->forward_relu(stem_->forward(images));
    if (!small_stem_) x = at::max_pool2d(x, 3, 2, 1);
    for (const auto& block : blocks_) x = block->forward(x);
    return x.mean({2, 3});  // [N, feature_dim]
  }
  int64_t feature_dim() const override { return feature_dim_; }

 private:
  bool small_stem_;
  int64_t feature_dim_ = 0;
  std::shared_ptr<Conv2d> stem_;
  std::shared_ptr<Norm> stem_norm_;
  std::vector<std::shared_ptr<Block>> blocks_;
};

}  // namespace

std::shared_ptr<Encoder> make_resnet(const ResNetSettings& settings, uint64_t seed) {
  auto net = std::make_shared<ResNet>(settings);
  initialize(*net, seed, "encoder");
  return net;
}

}  // namespace cltrain
