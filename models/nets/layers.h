// The layers that networks are made of: thin torch modules with torchvision's parameter names and
// keyed initial weights.
//
// Modules are built on the CPU in float32; move_to() takes them elsewhere. Not thread-safe.
#pragma once

#include "models/nets/norm.h"

#include <array>
#include <string>
#include <vector>

#include <torch/nn/module.h>

namespace cltrain {

/// 2-D convolution with square kernels: weight [out, in, k, k], bias [out] or none.
/// Under bfloat16 autocast on the CPU x is made channels-last, as oneDNN has it, and so the result
/// is; dilated kernels alone keep to whole channels (layers.cpp says why).
class Conv2d : public torch::nn::Module {
 public:
  Conv2d(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1, int64_t padding = 0,
         int64_t dilation = 1, bool with_bias = false);
  at::Tensor forward(const at::Tensor& x);  // [N, in, H, W] -> [N, out, H', W']
  at::Tensor weight, bias;

 private:
  int64_t stride_, padding_, dilation_;
};

/// Extents over time, height and width.
using Extents3d = std::array<int64_t, 3>;

/// 3-D convolution without bias: weight [out, in, kt, kh, kw]; padding with zeros.
class Conv3d : public torch::nn::Module {
 public:
  Conv3d(int64_t in, int64_t out, const Extents3d& kernel, const Extents3d& stride,
         const Extents3d& padding);
  at::Tensor forward(const at::Tensor& x);  // [N, in, T, H, W] -> [N, out, T', H', W']
  at::Tensor weight;

 private:
  Extents3d stride_, padding_;
};

/// y = x W^T + b: weight [out, in], bias [out] or none.
class Linear : public torch::nn::Module {
 public:
  Linear(int64_t in, int64_t out, bool with_bias = true);
  at::Tensor forward(const at::Tensor& x);  // [..., in] -> [..., out]
  at::Tensor weight, bias;
};

/// Normalises the last dimension of each position by itself: weight and bias [width].
class LayerNorm : public torch::nn::Module {
 public:
  LayerNorm(int64_t width, double epsilon);
  at::Tensor forward(const at::Tensor& x);  // [..., width] -> the same
  at::Tensor weight, bias;

 private:
  double epsilon_;
};

/// Moves every parameter and buffer below `root` to `device`; floating-point ones become `dtype`
/// (Module::to would turn counters into floats).
void move_to(torch::nn::Module& root, c10::Device device, at::ScalarType dtype);

/// Gives every parameter below `root` its keyed initial weights, as torchvision's ResNet does:
/// convolutions N(0, 2 / (out * values of a kernel)) (He, fan-out) and their biases 0, linear
/// layers U(+-1/sqrt(in)), norms 1 and 0. Names, and so values, are those of named_parameters()
/// behind `prefix`.
void initialize(torch::nn::Module& root, uint64_t seed, const std::string& prefix = "");

}  // namespace cltrain
