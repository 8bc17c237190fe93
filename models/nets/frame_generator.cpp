#include "models/nets/frame_generator.h"

#include "ops/initial_weights.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/lstm.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

constexpr int kPasses = 3;      // through the first block, and of halving
constexpr int64_t kShrink = 3;  // pixels that the passes through the first block take off a side
constexpr int64_t kHalving = int64_t{1} << kPasses;

}  // namespace

BidirectionalLstm::BidirectionalLstm(int64_t in, int64_t hidden) : hidden_(hidden) {
  const auto add = [&](const std::string& name, at::IntArrayRef shape) {
    weights_.push_back(register_parameter(name, at::zeros(shape)));
  };
  for (const char* direction : {"_l0", "_l0_reverse"}) {
    add(std::string("weight_ih") + direction, {4 * hidden, in});
    add(std::string("weight_hh") + direction, {4 * hidden, hidden});
    add(std::string("bias_ih") + direction, {4 * hidden});
    add(std::string("bias_hh") + direction, {4 * hidden});
  }
}

at::Tensor BidirectionalLstm::forward(const at::Tensor& x) {
  const at::Tensor start = at::zeros({2, x.size(0), hidden_}, x.options());
  return std::get<0>(at::lstm(x, {start, start}, weights_, /*has_biases=*/true, /*num_layers=*/1,
                              /*dropout=*/0.0, is_training(), /*bidirectional=*/true,
                              /*batch_first=*/true));
}

void BidirectionalLstm::initialize(uint64_t seed, const std::string& prefix) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(hidden_));
  for (const auto& item : named_parameters(/*recurse=*/false))
    fill_uniform(item.value(), bound, seed, prefix + "." + item.key());
}

int64_t FrameGenerator::smallest_size() {
  return kShrink + kHalving;
}

FrameGenerator::FrameGenerator(const FrameGeneratorSettings& settings) : settings_(settings) {
  const int64_t frames = settings.frames, side = (settings.size - kShrink) / kHalving;
  TORCH_CHECK(frames >= 1, "a frame generator for clips of ", frames,
              " frames; allowed: at least 1");
  TORCH_CHECK(side >= 1, "frames of ", settings.size,
              " pixels are too small for the frame generator:"
              " nothing is left of their maps; allowed: at least ",
              kShrink + kHalving, "; make the views larger (augment.size)");
  block_ = normed("block", 3 * frames, 3 * frames, /*dilation=*/2, /*epsilon=*/1e-3);
  pooled_ = plain("pooled", 3 * frames, 1);
  rates_.push_back(plain("rate1", 3 * frames, 1));
  for (const int64_t rate : {6, 12, 18})
    rates_.push_back(plain("rate" + std::to_string(rate), 3 * frames, 3, rate));
  merge_ = plain("merge", 15 * frames, 1);
  reduce_ = normed("reduce", 3 * frames, frames, /*dilation=*/1, /*epsilon=*/1e-5);
  refine_ = normed("refine", frames, frames, /*dilation=*/1, /*epsilon=*/1e-5);
  lstm_ =
      register_module("lstm", std::make_shared<BidirectionalLstm>(side * side, settings.hidden));
  score_ = register_module("score", std::make_shared<Linear>(2 * settings.hidden, frames));
}

at::Tensor FrameGenerator::forward(const at::Tensor& clips) {
  const int64_t frames = settings_.frames, size = settings_.size;
  TORCH_CHECK(clips.sizes() == at::IntArrayRef({clips.size(0), 3, frames, size, size}),
              "this frame generator takes clips [N, 3, ", frames, ", ", size, ", ", size,
              "]; received ", clips.sizes());
  at::Tensor x = clips.flatten(1, 2);  // [N, 3T, S, S]
  for (int pass = 0; pass < kPasses; ++pass)
    x = at::max_pool2d(block_.forward(x), 2, /*stride=*/1, /*padding=*/1);
  x = reduce_.forward(pyramid(x));  // [N, T, S - 3, S - 3]
  for (int pass = 0; pass < kPasses; ++pass)
    x = at::avg_pool2d(refine_.forward(refine_.forward(x)), 2);
  // The LSTM and the softmax stay in the weights' type where autocast gave bfloat16 before.
  const at::Tensor sequence = lstm_->forward(x.flatten(2).to(score_->weight.scalar_type()));
  const at::Tensor logits = score_->forward(sequence.select(1, frames - 1));
  return at::softmax(logits.to(score_->weight.scalar_type()), 1);
}

at::Tensor FrameGenerator::pyramid(const at::Tensor& x) const {
  const at::Tensor mean = pooled_->forward(x.mean({2, 3}, /*keepdim=*/true));
  std::vector<at::Tensor> parts{mean.expand({-1, -1, x.size(2), x.size(3)})};
  for (const auto& rate : rates_) parts.push_back(rate->forward(x));
  return merge_->forward(at::cat(parts, 1));
}

at::Tensor FrameGenerator::NormedConvolution::forward(const at::Tensor& x) const {
  return norm->forward_relu(convolution->forward(x));
}

FrameGenerator::NormedConvolution FrameGenerator::normed(const std::string& name, int64_t in,
                                                         int64_t out, int64_t dilation,
                                                         double epsilon) {
  NormSettings norm = settings_.norm;
  norm.epsilon = epsilon;
  const auto parts = register_module(name, std::make_shared<torch::nn::Module>());
  return {parts->register_module("conv",
                                 std::make_shared<Conv2d>(in, out, 3, 1, /*padding=*/1, dilation)),
          parts->register_module("bn", std::make_shared<Norm>(out, norm))};
}

// To the pyramid's 3T channels, at the same size.
std::shared_ptr<Conv2d> FrameGenerator::plain(const std::string& name, int64_t in, int64_t kernel,
                                              int64_t rate) {
  const int64_t padding = kernel == 1 ? 0 : rate;
  return register_module(name, std::make_shared<Conv2d>(in, 3 * settings_.frames, kernel, 1,
                                                        padding, rate, /*with_bias=*/true));
}

void FrameGenerator::initialize(uint64_t seed, const std::string& prefix) {
  cltrain::initialize(*score_, seed, prefix + ".score");
  lstm_->initialize(seed, prefix + ".lstm");
  for (const auto& item : named_modules(prefix))
    if (const auto* convolution = item.value()->as<Conv2d>()) {
      const at::Tensor& weight = convolution->weight;
      const double bound = 1.0 / std::sqrt(static_cast<double>(weight[0].numel()));
      fill_uniform(weight, bound, seed, item.key() + ".weight");
      if (convolution->bias.defined())
        fill_uniform(convolution->bias, bound, seed, item.key() + ".bias");
    }
}

std::shared_ptr<FrameGenerator> make_frame_generator(const FrameGeneratorSettings& settings,
                                                     uint64_t seed) {
  auto net = std::make_shared<FrameGenerator>(settings);
  net->initialize(seed, "generator");
  return net;
}

}  // namespace cltrain
