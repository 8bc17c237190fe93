#include "models/registry.h"

#include "models/methods/simclr.h"
#include "models/nets/resnet.h"
#include "models/nets/small_conv.h"

#include <functional>

#include <c10/util/Exception.h>

namespace cltrain {
namespace {

struct MethodLine {
  RegistryLine line;
  std::function<std::shared_ptr<Method>(const MethodOptions&, std::shared_ptr<Encoder>,
                                        const HeadSettings&, uint64_t seed)>
      make;
};

struct ModelLine {
  RegistryLine line;
  std::function<std::shared_ptr<Encoder>(const ModelOptions&, const NormSettings&, uint64_t seed)>
      make;
};

ModelLine resnet(int64_t depth) {
  const std::string name = "resnet" + std::to_string(depth);
  return {{name, "ResNet-" + std::to_string(depth) + " with torchvision's parameter names"},
          [depth](const ModelOptions& options, const NormSettings& norm, uint64_t seed) {
            return make_resnet({.depth = depth,
                                .width = options.width,
                                .small_stem = options.small_stem,
                                .zero_init_residual = options.zero_init_residual,
                                .norm = norm},
                               seed);
          }};
}

const std::vector<MethodLine> kMethods{
    {{"simclr", "two views attract, the global batch repels (arXiv 2002.05709)"},
     [](const MethodOptions& options, std::shared_ptr<Encoder> encoder, const HeadSettings& head,
        uint64_t seed) {
       return std::make_shared<Simclr>(std::move(encoder), head, options.simclr, seed,
                                       contrast_settings(options.loss));
     }},
};

const std::vector<ModelLine> kModels{
    resnet(18),
    resnet(34),
    resnet(50),
    resnet(101),
    resnet(152),
    {{"small_conv", "five convolutions for small images on a CPU"},
     [](const ModelOptions& options, const NormSettings& norm, uint64_t seed) {
       return make_small_conv(options.width, norm, seed);
     }},
};

template <class Line>
std::vector<RegistryLine> lines_of(const std::vector<Line>& table) {
  std::vector<RegistryLine> lines;
  for (const Line& line : table) lines.push_back(line.line);
  return lines;
}

template <class Line>
const Line& find(const std::vector<Line>& table, const std::string& name, const char* what) {
  for (const Line& line : table)
    if (line.line.name == name) return line;
  TORCH_CHECK(false, "no ", what, " named '", name, "'");
}

}  // namespace

std::vector<RegistryLine> method_table() {
  return lines_of(kMethods);
}
std::vector<RegistryLine> model_table() {
  return lines_of(kModels);
}

std::vector<std::string> names_of(const std::vector<RegistryLine>& table) {
  std::vector<std::string> names;
  for (const RegistryLine& line : table) names.push_back(line.name);
  return names;
}

ContrastSettings contrast_settings(const LossOptions& options) {
  return {.exchange = exchange_named(options.exchange),
          .bfloat16 = options.dtype == "bfloat16",
          .cuda_kernels = options.cuda_kernels};
}

std::shared_ptr<Method> make_method(const MethodOptions& options, uint64_t seed,
                                    const Communicator& communicator) {
  const ModelOptions& model = options.model;
  const NormSettings norm{.kind = model.norm,
                          .groups = model.norm_groups,
                          .momentum = model.norm_momentum,
                          .communicator = &communicator};
  auto encoder = find(kModels, model.name, "model").make(model, norm, seed);
  const HeadSettings head{.layers = model.head_layers,
                          .hidden = model.head_hidden,
                          .out = model.head_out,
                          .norm = norm};
  return find(kMethods, options.name, "method").make(options, std::move(encoder), head, seed);
}

}  // namespace cltrain
