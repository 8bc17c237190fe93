#include "models/registry.h"

#include "models/methods/click_through.h"
#include "models/methods/coserec.h"
#include "models/methods/finetune.h"
#include "models/methods/history_contrast.h"
#include "models/methods/moco.h"
#include "models/methods/moco_v3.h"
#include "models/methods/simclr.h"
#include "models/methods/srma.h"
#include "models/methods/videomoco.h"
#include "models/nets/resnet.h"
#include "models/nets/small_conv.h"
#include "models/nets/video_resnet.h"
#include "models/nets/vision_transformer.h"

#include <functional>

#include <c10/util/Exception.h>

namespace cltrain {
namespace {

struct MethodLine {
  RegistryLine line;
  std::function<std::shared_ptr<Method>(const MethodParts&)> make;
};

/// What the factory of an encoder may use.
struct EncoderParts {
  const ModelOptions& options;
  const NormSettings& norm;
  const InputShape& input;
  uint64_t seed;
};

struct ModelLine {
  RegistryLine line;
  std::function<std::shared_ptr<Encoder>(const EncoderParts&)> make;
  /// Why the options do not fit the input, as a sentence; empty where they do.
  std::function<std::string(const ModelOptions&, const InputShape&)> problem =
      [](const ModelOptions&, const InputShape&) { return std::string(); };
};

ModelLine resnet(int64_t depth) {
  const std::string name = "resnet" + std::to_string(depth);
  return {{name, "ResNet-" + std::to_string(depth) + " with torchvision's parameter names"},
          [depth](const EncoderParts& parts) {
            return make_resnet({.depth = depth,
                                .width = parts.options.width,
                                .small_stem = parts.options.small_stem,
                                .zero_init_residual = parts.options.zero_init_residual,
                                .norm = parts.norm},
                               parts.seed);
          }};
}

ModelLine vision_transformer(const std::string& name, int64_t dim) {
  const auto settings = [dim](const ModelOptions& options, const InputShape& input) {
    VisionTransformerSettings chosen{
        .patch = options.patch, .image_size = input.size, .freeze_patch = options.freeze_patch};
    chosen.dim = scaled_dim(dim, chosen.heads, options.width);
    return chosen;
  };
  return {{name, "Vision Transformer, " + std::to_string(dim) +
                     " wide, 12 blocks, 12 heads, as MoCo v3's, with timm's parameter names"},
          [settings](const EncoderParts& parts) {
            return make_vision_transformer(settings(parts.options, parts.input), parts.seed);
          },
          [settings](const ModelOptions& options, const InputShape& input) {
            return problem_of(settings(options, input));
          }};
}

ModelLine video_resnet(const std::string& name, const std::string& description, bool split) {
  return {{name, description, InputKind::kClips}, [split](const EncoderParts& parts) {
            return make_video_resnet(
                {.split = split, .width = parts.options.width, .norm = parts.norm}, parts.seed);
          }};
}

const std::vector<MethodLine> kMethods{
    {{"simclr", "two views attract, the global batch repels (arXiv 2002.05709)"},
     [](const MethodParts& parts) {
       HeadSettings head = parts.head;
       if (head.layers == 0) head.layers = 2;
       return std::make_shared<Simclr>(parts.make_encoder(), head, parts.options.simclr, parts.seed,
                                       contrast_settings(parts.options.loss));
     }},
    {{"moco_v1", "a queue of keys from a momentum encoder repels (arXiv 1911.05722)"},
     [](const MethodParts& parts) { return std::make_shared<Moco>(parts, MocoVersion::kV1); }},
    {{"moco_v2", "MoCo with a two-layer head (arXiv 2003.04297)"},
     [](const MethodParts& parts) { return std::make_shared<Moco>(parts, MocoVersion::kV2); }},
    {{"moco_v3", "momentum keys of the global batch, a predictor, no queue (arXiv 2104.02057)"},
     [](const MethodParts& parts) { return std::make_shared<MocoV3>(parts); }},
    {{"videomoco", "MoCo on clips; a generator drops frames, keys fade (arXiv 2103.05905)",
      InputKind::kClips},
     [](const MethodParts& parts) { return std::make_shared<VideoMoco>(parts); }},
    {{"sasrec", "a transformer says which item comes next (arXiv 1808.09781)",
      InputKind::kSequences},
     [](const MethodParts& parts) { return std::make_shared<SequenceRecommender>(parts); }},
    {{"cl4srec", "SASRec, and two augmented views of a history attract (arXiv 2010.14395)",
      InputKind::kSequences},
     [](const MethodParts& parts) {
       return std::make_shared<HistoryContrast>(parts, parts.options.cl4srec.contrast);
     }},
    {{"coserec", "CL4SRec with similar items put in (arXiv 2108.06479)", InputKind::kSequences},
     [](const MethodParts& parts) { return std::make_shared<Coserec>(parts); }},
    {{"srma", "CL4SRec whose views pass different networks (arXiv 2203.15508)",
      InputKind::kSequences},
     [](const MethodParts& parts) { return std::make_shared<Srma>(parts); }},
    {{"cl4srec_easyrec", "clicks, by a backbone that a file describes, as EasyRec's CL4SRec",
      InputKind::kClicks, /*views=*/1},
     [](const MethodParts& parts) { return std::make_shared<ClickThrough>(parts); }},
    {{"finetune", "all layers and a linear classifier learn labels, from given weights or none",
      InputKind::kEither, /*views=*/1},
     [](const MethodParts& parts) { return std::make_shared<Finetune>(parts); }},
};

const std::vector<ModelLine> kModels{
    resnet(18),
    resnet(34),
    resnet(50),
    resnet(101),
    resnet(152),
    {{"small_conv", "five convolutions for small images on a CPU"},
     [](const EncoderParts& parts) {
       return make_small_conv(parts.options.width, parts.norm, parts.seed);
     }},
    vision_transformer("vit_small", 384),
    vision_transformer("vit_base", 768),
    video_resnet("r3d18", "R3D-18 for clips, with torchvision's parameter names", false),
    video_resnet("r2plus1d18", "R(2+1)D-18 for clips, with torchvision's parameter names", true),
    {{"item_transformer", "SASRec's transformer, with the parameter names of S3-Rec and SRMA",
      InputKind::kSequences},
     [](const EncoderParts&) -> std::shared_ptr<Encoder> {
       TORCH_CHECK(false, "item_transformer is made by the recommenders themselves");
     }},
    {{"backbone", "blocks that the file easyrec.model describes", InputKind::kClicks},
     [](const EncoderParts&) -> std::shared_ptr<Encoder> {
       TORCH_CHECK(false, "backbone is made by click-through models themselves");
     }},
};

const char* text_of(InputKind kind) {
  if (kind == InputKind::kSequences) return "sequences of items";
  if (kind == InputKind::kClicks) return "rows of clicks";
  return kind == InputKind::kClips ? "clips of video" : "images";
}

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

RegistryLine method_line(const std::string& name) {
  return find(kMethods, name, "method").line;
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

std::vector<std::string> problems(const MethodOptions& options, const InputShape& input) {
  const RegistryLine& method = find(kMethods, options.name, "method").line;
  const ModelLine& model = find(kModels, options.model.name, "model");
  const bool either = method.input == InputKind::kEither;
  const InputKind of_data = input.frames > 0 ? InputKind::kClips : InputKind::kImages;
  const InputKind wanted = either ? of_data : method.input;
  if (model.line.input != wanted) {
    std::string fitting;
    for (const ModelLine& other : kModels)
      if (other.line.input == wanted) fitting += (fitting.empty() ? "" : ", ") + other.line.name;
    const std::string whose =
        either ? "the data gives " : "method.name=" + method.name + " trains on ";
    return {"model.name=" + model.line.name + " takes " + text_of(model.line.input) + ", and " +
            whose + text_of(wanted) + "; allowed with it: " + fitting};
  }
  std::vector<std::string> found;
  if (options.name == "videomoco") found = problems(options.videomoco, input);
  const std::string problem = model.problem(options.model, input);
  if (!problem.empty()) found.push_back(problem);
  return found;
}

std::shared_ptr<Method> make_method(const MethodOptions& options, uint64_t seed,
                                    const Communicator& communicator, const InputShape& input) {
  const ModelOptions& model = options.model;
  const NormSettings norm{.kind = model.norm,
                          .groups = model.norm_groups,
                          .momentum = model.norm_momentum,
                          .splits = model.bn_splits,
                          .communicator = &communicator};
  const ModelLine& line = find(kModels, model.name, "model");
  return find(kMethods, options.name, "method")
      .make({.options = options,
             .make_encoder =
                 [&] {
                   return line.make({model, norm, input, seed});
                 },
             .head = {.layers = model.head_layers,
                      .hidden = model.head_hidden,
                      .out = model.head_out,
                      .norm = norm},
             .input = input,
             .seed = seed,
             .communicator = communicator});
}

}  // namespace cltrain
