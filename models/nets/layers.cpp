#include "models/nets/layers.h"

#include "ops/initial_weights.h"

#include <cmath>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv3d.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

bool in_bfloat16_on_cpu(const at::Tensor& x) {
  return x.is_cpu() && at::autocast::is_autocast_enabled(at::kCPU) &&
         at::autocast::get_autocast_dtype(at::kCPU) == at::kBFloat16;
}

// oneDNN's bfloat16 gradient of a weight (LibTorch 2.11) is not written in full where the kernel is
// larger than what it slides over, but for its padding: two frames or a single pixel under a kernel
// of three; parts of it are what the memory held before. Zeros that are part of x are taken well:
// so they are added here, and taken off `padding`.
at::Tensor pad_small(const at::Tensor& x, const at::Tensor& weight, int64_t dilation,
                     std::vector<int64_t>& padding) {
  const auto places = static_cast<int64_t>(padding.size());
  std::vector<int64_t> added(2 * places, 0);  // the last place first, before and behind
  bool small = false;
  for (int64_t d = 0; d < places; ++d) {
    if (x.size(2 + d) > (weight.size(2 + d) - 1) * dilation) continue;
    small = true;
    added[2 * (places - 1 - d)] = added[2 * (places - 1 - d) + 1] = std::exchange(padding[d], 0);
  }
  return small ? at::constant_pad_nd(x, added) : x;
}

}  // namespace

Conv2d::Conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding,
               int64_t dilation, bool with_bias)
    : weight(register_parameter("weight", at::zeros({out, in, kernel, kernel}))),
      stride_(stride),
      padding_(padding),
      dilation_(dilation) {
  if (with_bias) bias = register_parameter("bias", at::zeros({out}));
}

at::Tensor Conv2d::forward(const at::Tensor& x) {
  if (!in_bfloat16_on_cpu(x)) return at::conv2d(x, weight, bias, stride_, padding_, dilation_);
  // Of channels-last images LibTorch 2.11 writes only parts of the bfloat16 gradient of a dilated
  // kernel, where their channels are more than 16 and no multiple of it (the frame generator's 24).
  const auto layout =
      dilation_ == 1 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  std::vector<int64_t> padding{padding_, padding_};
  const at::Tensor images = pad_small(x.contiguous(layout), weight, dilation_, padding);
  return at::conv2d(images, weight, bias, stride_, padding, dilation_);
}

Conv3d::Conv3d(int64_t in, int64_t out, const Extents3d& kernel, const Extents3d& stride,
               const Extents3d& padding)
    : weight(register_parameter("weight", at::zeros({out, in, kernel[0], kernel[1], kernel[2]}))),
      stride_(stride),
      padding_(padding) {}

at::Tensor Conv3d::forward(const at::Tensor& x) {
  if (!in_bfloat16_on_cpu(x)) return at::conv3d(x, weight, {}, stride_, padding_);
  std::vector<int64_t> padding(padding_.begin(), padding_.end());
  const at::Tensor clips = pad_small(x, weight, /*dilation=*/1, padding);
  return at::conv3d(clips, weight, {}, stride_, padding);
}

Linear::Linear(int64_t in, int64_t out, bool with_bias)
    : weight(register_parameter("weight", at::zeros({out, in}))) {
  if (with_bias) bias = register_parameter("bias", at::zeros({out}));
}

at::Tensor Linear::forward(const at::Tensor& x) {
  return at::linear(x, weight, bias);
}

LayerNorm::LayerNorm(int64_t width, double epsilon)
    : weight(register_parameter("weight", at::ones({width}))),
      bias(register_parameter("bias", at::zeros({width}))),
      epsilon_(epsilon) {}

at::Tensor LayerNorm::forward(const at::Tensor& x) {
  return at::layer_norm(x, weight.sizes(), weight, bias, epsilon_);
}

void move_to(torch::nn::Module& root, c10::Device device, at::ScalarType dtype) {
  std::vector<at::Tensor> tensors = root.parameters();
  for (const at::Tensor& buffer : root.buffers()) tensors.push_back(buffer);
  for (at::Tensor& tensor : tensors)
    tensor.set_data(
        tensor.detach().to(device, tensor.is_floating_point() ? dtype : tensor.scalar_type()));
}

void initialize(torch::nn::Module& root, uint64_t seed, const std::string& prefix) {
  const auto fill_convolution = [seed](const at::Tensor& weight, const std::string& name) {
    const auto fan_out = static_cast<double>(weight.numel() / weight.size(1));
    fill_normal(weight, std::sqrt(2.0 / fan_out), seed, name);
  };
  for (const auto& item : root.named_modules(prefix)) {
    if (auto* images = item.value()->as<Conv2d>()) {
      fill_convolution(images->weight, item.key() + ".weight");
    } else if (auto* clips = item.value()->as<Conv3d>()) {
      fill_convolution(clips->weight, item.key() + ".weight");
    } else if (auto* linear = item.value()->as<Linear>()) {
      const double bound = 1.0 / std::sqrt(static_cast<double>(linear->weight.size(1)));
      fill_uniform(linear->weight, bound, seed, item.key() + ".weight");
      if (linear->bias.defined()) fill_uniform(linear->bias, bound, seed, item.key() + ".bias");
    }
  }
}

}  // namespace cltrain
