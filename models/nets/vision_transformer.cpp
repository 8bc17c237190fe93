#include "models/nets/vision_transformer.h"

#include "models/nets/layers.h"
#include "ops/initial_weights.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

constexpr double kEpsilon = 1e-6;  // of the norms
constexpr int64_t kMlpRatio = 4;
constexpr double kLongestWave = 10000;

// Non-overlapping patches to tokens: a convolution whose stride is its kernel.
class PatchProjection : public torch::nn::Module {
 public:
  PatchProjection(int64_t patch, int64_t dim, bool frozen) : patch_(patch) {
    const at::Tensor kernel = at::zeros({dim, 3, patch, patch}), shift = at::zeros({dim});
    weight = frozen ? register_buffer("weight", kernel) : register_parameter("weight", kernel);
    bias = frozen ? register_buffer("bias", shift) : register_parameter("bias", shift);
  }
  at::Tensor forward(const at::Tensor& images) {  // [N, 3, H, W] -> [N, patches, dim]
    return at::conv2d(images, weight, bias, patch_).flatten(2).transpose(1, 2);
  }
  at::Tensor weight, bias;

 private:
  int64_t patch_;
};

class Attention : public torch::nn::Module {
 public:
  Attention(int64_t dim, int64_t heads)
      : heads_(heads),
        qkv_(register_module("qkv", std::make_shared<Linear>(dim, 3 * dim))),
        proj_(register_module("proj", std::make_shared<Linear>(dim, dim))) {}

  at::Tensor forward(const at::Tensor& x) {  // [N, tokens, dim]
    const int64_t rows = x.size(0), tokens = x.size(1), dim = x.size(2);
    const std::vector<at::Tensor> qkv = qkv_->forward(x)
                                            .view({rows, tokens, 3, heads_, dim / heads_})
                                            .permute({2, 0, 3, 1, 4})  // [3, N, heads, tokens, .]
                                            .unbind();
    const at::Tensor y = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2]);
    return proj_->forward(y.transpose(1, 2).reshape({rows, tokens, dim}));
  }

 private:
  int64_t heads_;
  std::shared_ptr<Linear> qkv_, proj_;
};

class Mlp : public torch::nn::Module {
 public:
  explicit Mlp(int64_t dim)
      : fc1_(register_module("fc1", std::make_shared<Linear>(dim, kMlpRatio * dim))),
        fc2_(register_module("fc2", std::make_shared<Linear>(kMlpRatio * dim, dim))) {}
  at::Tensor forward(const at::Tensor& x) { return fc2_->forward(at::gelu(fc1_->forward(x))); }

 private:
  std::shared_ptr<Linear> fc1_, fc2_;
};

class Block : public torch::nn::Module {
 public:
  Block(int64_t dim, int64_t heads)
      : norm1_(register_module("norm1", std::make_shared<LayerNorm>(dim, kEpsilon))),
        attention_(register_module("attn", std::make_shared<Attention>(dim, heads))),
        norm2_(register_module("norm2", std::make_shared<LayerNorm>(dim, kEpsilon))),
        mlp_(register_module("mlp", std::make_shared<Mlp>(dim))) {}

  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor y = x + attention_->forward(norm1_->forward(x));
    return y + mlp_->forward(norm2_->forward(y));
  }

 private:
  std::shared_ptr<LayerNorm> norm1_;
  std::shared_ptr<Attention> attention_;
  std::shared_ptr<LayerNorm> norm2_;
  std::shared_ptr<Mlp> mlp_;
};

class VisionTransformer : public Encoder {
 public:
  explicit VisionTransformer(const VisionTransformerSettings& settings)
      : image_size_(settings.image_size), dim_(settings.dim) {
    const std::string problem = problem_of(settings);
    TORCH_CHECK(problem.empty(), problem);
    cls_token_ = register_parameter("cls_token", at::zeros({1, 1, dim_}));
    pos_embed_ = register_buffer("pos_embed", sine_positions(image_size_ / settings.patch, dim_));
    const auto embed = register_module("patch_embed", std::make_shared<torch::nn::Module>());
    patches_ = embed->register_module(
        "proj", std::make_shared<PatchProjection>(settings.patch, dim_, settings.freeze_patch));
    const auto blocks = register_module("blocks", std::make_shared<torch::nn::Module>());
    for (int64_t i = 0; i < settings.depth; ++i)
      blocks_.push_back(blocks->register_module(std::to_string(i),
                                                std::make_shared<Block>(dim_, settings.heads)));
    norm_ = register_module("norm", std::make_shared<LayerNorm>(dim_, kEpsilon));
  }

  at::Tensor forward(const at::Tensor& images) override {
    TORCH_CHECK(images.dim() == 4 && images.size(1) == 3 && images.size(2) == image_size_ &&
                    images.size(3) == image_size_,
                "this Vision Transformer takes images [N, 3, ", image_size_, ", ", image_size_,
                "], for which its positions were made; received ", images.sizes());
    const at::Tensor token = cls_token_.expand({images.size(0), 1, dim_});
    at::Tensor x = at::cat({token, patches_->forward(images)}, 1) + pos_embed_;
    for (const auto& block : blocks_) x = block->forward(x);
    return norm_->forward(x.select(1, 0));  // [N, dim]
  }
  int64_t feature_dim() const override { return dim_; }

  // MoCo v3: Xavier's uniform weights, of query, key and value each by itself; biases 0.
  void initialize(uint64_t seed, const std::string& prefix) {
    const auto bound = [](int64_t in, int64_t out) {
      return std::sqrt(6.0 / static_cast<double>(in + out));
    };
    for (const auto& item : named_modules(prefix))
      if (const auto* linear = item.value()->as<Linear>()) {
        const int64_t out = linear->weight.size(0), in = linear->weight.size(1);
        fill_uniform(linear->weight, bound(in, item.key().ends_with(".qkv") ? out / 3 : out), seed,
                     item.key() + ".weight");
      }
    fill_uniform(patches_->weight, bound(patches_->weight[0].numel(), dim_), seed,
                 prefix + ".patch_embed.proj.weight");
    fill_normal(cls_token_, 1e-6, seed, prefix + ".cls_token");
  }

 private:
  int64_t image_size_, dim_;
  at::Tensor cls_token_, pos_embed_;
  std::shared_ptr<PatchProjection> patches_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::shared_ptr<LayerNorm> norm_;
};

}  // namespace

int64_t scaled_dim(int64_t dim, int64_t heads, double width) {
  const int64_t unit = 8 * heads;
  return unit * std::max<int64_t>(
                    1, std::llround(static_cast<double>(dim) * width / static_cast<double>(unit)));
}

std::string problem_of(const VisionTransformerSettings& settings) {
  const int64_t dim = settings.dim, heads = settings.heads;
  const int64_t patch = settings.patch, size = settings.image_size;
  const auto text = [](int64_t number) { return std::to_string(number); };
  if (settings.depth < 1 || heads < 1 || dim < 1 || dim % heads != 0 || dim % 4 != 0)
    return "a Vision Transformer of " + text(dim) + " channels, " + text(settings.depth) +
           " blocks and " + text(heads) +
           " heads; allowed: a multiple of 4 and of the heads, and at least one block";
  if (size < 1)
    return "a Vision Transformer has to know the side of the images (augment.size) when it is "
           "made; received " +
           text(size);
  if (patch > 0 && size % patch == 0) return "";
  int64_t divisor = std::clamp<int64_t>(patch, 1, size);
  while (size % divisor != 0) --divisor;
  return "model.patch=" + text(patch) + " does not divide augment.size=" + text(size) +
         ", the side of the images; set model.patch=" + text(divisor) +
         ", or make augment.size a multiple of the patch";
}

std::shared_ptr<Encoder> make_vision_transformer(const VisionTransformerSettings& settings,
                                                 uint64_t seed) {
  auto net = std::make_shared<VisionTransformer>(settings);
  net->initialize(seed, "encoder");
  return net;
}

at::Tensor sine_positions(int64_t rows, int64_t dim) {
  const int64_t waves = dim / 4;
  at::Tensor positions = at::zeros({1, 1 + rows * rows, dim});
  auto* out = positions.mutable_data_ptr<float>() + dim;  // behind the class token
  for (int64_t patch = 0; patch < rows * rows; ++patch, out += dim)
    for (int64_t m = 0; m < waves; ++m) {
      const double wave =
          std::pow(kLongestWave, -static_cast<double>(m) / static_cast<double>(waves));
      const double down = wave * static_cast<double>(patch / rows);
      const double across = wave * static_cast<double>(patch % rows);
      out[m] = static_cast<float>(std::sin(down));
      out[waves + m] = static_cast<float>(std::cos(down));
      out[2 * waves + m] = static_cast<float>(std::sin(across));
      out[3 * waves + m] = static_cast<float>(std::cos(across));
    }
  return positions;
}

}  // namespace cltrain
