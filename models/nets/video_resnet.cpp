#include "models/nets/video_resnet.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <ATen/TensorOperators.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

using torch::nn::Module;

int64_t scaled(int64_t channels, double width) {
  return std::max<int64_t>(1, std::llround(static_cast<double>(channels) * width));
}

// One kernel over space and time, in torchvision "0.weight" of its parent; or, split, a kernel over
// space, norm, ReLU and a kernel over time: "0.0", "0.1", "0.3".
class Convolution {
 public:
  // `middle` channels lie between the parts of a split one.
  Convolution(Module& parent, int64_t in, int64_t middle, int64_t out, int64_t stride, bool split,
              const NormSettings& norm) {
    if (!split) {
      first_ = parent.register_module(
          "0", std::make_shared<Conv3d>(in, out, Extents3d{3, 3, 3},
                                        Extents3d{stride, stride, stride}, Extents3d{1, 1, 1}));
      return;
    }
    const auto parts = parent.register_module("0", std::make_shared<Module>());
    first_ = parts->register_module(
        "0", std::make_shared<Conv3d>(in, middle, Extents3d{1, 3, 3}, Extents3d{1, stride, stride},
                                      Extents3d{0, 1, 1}));
    norm_ = parts->register_module("1", std::make_shared<Norm>(middle, norm));
    over_time_ = parts->register_module(
        "3", std::make_shared<Conv3d>(middle, out, Extents3d{3, 1, 1}, Extents3d{stride, 1, 1},
                                      Extents3d{1, 0, 0}));
  }
  at::Tensor forward(const at::Tensor& x) const {
    const at::Tensor y = first_->forward(x);
    return over_time_ ? over_time_->forward(norm_->forward_relu(y)) : y;
  }

 private:
  std::shared_ptr<Conv3d> first_, over_time_;
  std::shared_ptr<Norm> norm_;
};

// Two convolutions and a shortcut. torchvision's Sequentials name the parts by number.
class Block : public Module {
 public:
  Block(int64_t in, int64_t out, int64_t stride, const VideoResNetSettings& settings) {
    // As many weights in two parts as in one 3 x 3 x 3 kernel. Both convolutions of the block take
    // the number that its first one needs, as in torchvision.
    const int64_t middle = in * out * 27 / (in * 9 + out * 3);
    add("conv1", in, middle, out, stride, settings);
    add("conv2", out, middle, out, 1, settings);
    if (stride == 1 && in == out) return;
    const auto shortcut = register_module("downsample", std::make_shared<Module>());
    shortcut_ = shortcut->register_module(
        "0", std::make_shared<Conv3d>(in, out, Extents3d{1, 1, 1},
                                      Extents3d{stride, stride, stride}, Extents3d{0, 0, 0}));
    shortcut_norm_ = shortcut->register_module("1", std::make_shared<Norm>(out, settings.norm));
  }

  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor y = norms_[0]->forward_relu(convolutions_[0].forward(x));
    const at::Tensor shortcut = shortcut_ ? shortcut_norm_->forward(shortcut_->forward(x)) : x;
    return norms_[1]->forward_relu(convolutions_[1].forward(y), shortcut);
  }

 private:
  void add(const char* name, int64_t in, int64_t middle, int64_t out, int64_t stride,
           const VideoResNetSettings& settings) {
    const auto parts = register_module(name, std::make_shared<Module>());
    convolutions_.emplace_back(*parts, in, middle, out, stride, settings.split, settings.norm);
    norms_.push_back(parts->register_module("1", std::make_shared<Norm>(out, settings.norm)));
  }

  std::vector<Convolution> convolutions_;
  std::vector<std::shared_ptr<Norm>> norms_;
  std::shared_ptr<Conv3d> shortcut_;
  std::shared_ptr<Norm> shortcut_norm_;
};

class VideoResNet : public Encoder {
 public:
  explicit VideoResNet(const VideoResNetSettings& settings) {
    const int64_t base = scaled(64, settings.width);
    const auto stem = register_module("stem", std::make_shared<Module>());
    if (settings.split) {
      const int64_t middle = scaled(45, settings.width);  // torchvision's number for 64 channels
      add_to_stem(*stem, 0, 3, middle, {1, 7, 7}, {1, 2, 2}, {0, 3, 3}, settings.norm);
      add_to_stem(*stem, 3, middle, base, {3, 1, 1}, {1, 1, 1}, {1, 0, 0}, settings.norm);
    } else {
      add_to_stem(*stem, 0, 3, base, {3, 7, 7}, {1, 2, 2}, {1, 3, 3}, settings.norm);
    }
    int64_t channels = base;
    for (int stage = 0; stage < 4; ++stage) {
      const auto layer =
          register_module("layer" + std::to_string(stage + 1), std::make_shared<Module>());
      const int64_t out = base << stage;
      for (int64_t i = 0; i < 2; ++i) {
        const int64_t stride = stage > 0 && i == 0 ? 2 : 1;
        blocks_.push_back(layer->register_module(
            std::to_string(i), std::make_shared<Block>(channels, out, stride, settings)));
        channels = out;
      }
    }
    feature_dim_ = channels;
  }

  at::Tensor forward(const at::Tensor& clips) override {
    TORCH_CHECK(clips.dim() == 5 && clips.size(1) == 3,
                "a video ResNet takes clips [N, 3, T, H, W]; received ", clips.sizes());
    at::Tensor x = clips;
    for (size_t i = 0; i < stem_.size(); ++i)
      x = stem_norms_[i]->forward_relu(stem_[i]->forward(x));
    for (const auto& block : blocks_) x = block->forward(x);
    return x.mean({2, 3, 4});  // [N, feature_dim]
  }
  int64_t feature_dim() const override { return feature_dim_; }

 private:
  // Part `number` of torchvision's stem, and its norm behind it.
  void add_to_stem(Module& stem, int number, int64_t in, int64_t out, const Extents3d& kernel,
                   const Extents3d& stride, const Extents3d& padding, const NormSettings& norm) {
    stem_.push_back(stem.register_module(
        std::to_string(number), std::make_shared<Conv3d>(in, out, kernel, stride, padding)));
    stem_norms_.push_back(
        stem.register_module(std::to_string(number + 1), std::make_shared<Norm>(out, norm)));
  }

  int64_t feature_dim_ = 0;
  std::vector<std::shared_ptr<Conv3d>> stem_;
  std::vector<std::shared_ptr<Norm>> stem_norms_;
  std::vector<std::shared_ptr<Block>> blocks_;
};

}  // namespace

std::shared_ptr<Encoder> make_video_resnet(const VideoResNetSettings& settings, uint64_t seed) {
  auto net = std::make_shared<VideoResNet>(settings);
  initialize(*net, seed, "encoder");
  return net;
}

}  // namespace cltrain
