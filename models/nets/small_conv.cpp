#include "models/nets/small_conv.h"

#include <array>
#include <cmath>

#include <ATen/TensorOperators.h>

namespace cltrain {
namespace {

struct Stage {
  int64_t channels, stride;
};
constexpr std::array<Stage, 5> kStages{{{32, 1}, {64, 2}, {64, 1}, {128, 2}, {256, 1}}};

class SmallConv : public Encoder {
 public:
  SmallConv(double width, const NormSettings& norm) {
    int64_t in = 3;
    for (size_t i = 0; i < kStages.size(); ++i) {
      const auto out = std::max<int64_t>(1, std::llround(kStages[i].channels * width));
      const std::string suffix = std::to_string(i + 1);
      convolutions_.push_back(register_module(
          "conv" + suffix, std::make_shared<Conv2d>(in, out, 3, kStages[i].stride, 1)));
      norms_.push_back(register_module("bn" + suffix, std::make_shared<Norm>(out, norm)));
      in = out;
    }
    feature_dim_ = in;
  }

  at::Tensor forward(const at::Tensor& images) override {
    at::Tensor x = images;
    for (size_t i = 0; i < convolutions_.size(); ++i)
      x = norms_[i]->forward_relu(convolutions_[i]->forward(x));
    return x.mean({2, 3});
  }
  int64_t feature_dim() const override { return feature_dim_; }

 private:
  int64_t feature_dim_ = 0;
  std::vector<std::shared_ptr<Conv2d>> convolutions_;
  std::vector<std::shared_ptr<Norm>> norms_;
};

}  // namespace

std::shared_ptr<Encoder> make_small_conv(double width, const NormSettings& norm, uint64_t seed) {
  auto net = std::make_shared<SmallConv>(width, norm);
  initialize(*net, seed, "encoder");
  return net;
}

}  // namespace cltrain
