#include "train/weights.h"

#include "train/best_weights.h"
#include "train/digest.h"
#include "train/files.h"
#include "train/safetensors.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string_view>

#include <ATen/ops/isfinite.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBestPrefix = "best.model.encoder.", kPrefix = "model.encoder.";

// What released files hold beside the encoder: classifiers of torchvision and timm, and what S3-Rec
// pretrains with.
constexpr std::string_view kBeside[] = {
    "fc.", "head.", "attribute_embeddings.", "aap_norm.", "mip_norm.", "map_norm.", "sp_norm."};

using TensorsByName = std::map<std::string, at::Tensor>;

TensorsByName tensors_of(const torch::nn::Module& module) {
  TensorsByName all;
  for (const auto& item : module.named_parameters()) all[item.key()] = item.value().detach();
  for (const auto& item : module.named_buffers()) all[item.key()] = item.value();
  return all;
}

std::vector<NamedTensor> in_order(const TensorsByName& tensors) {
  return {tensors.begin(), tensors.end()};
}

/// Files that are often taken for safetensors files get a word of their own.
void refuse_other_files(const fs::path& path) {
  if (fs::is_directory(path))
    throw CheckpointError(path.string() +
                          " is a folder; give the file itself, of a checkpoint state.safetensors");
  std::ifstream file(path, std::ios::binary);
  std::string start(2, '\0');
  file.read(start.data(), 2);
  if (start == "PK" || start == "\x80\x02")
    throw CheckpointError(path.string() +
                          " is a file of torch.save (pickle), which can run code when it is read; "
                          "convert it in Python: safetensors.torch.save_file(torch.load(FILE, "
                          "weights_only=True), \"weights.safetensors\")");
}

/// What names of an encoder begin with in the file: in checkpoints of runs with train.patience the
/// best weights count, once there was an evaluation, else the newest.
std::string_view prefix_in(const std::vector<NamedTensor>& file) {
  bool checkpoint = false, best = false;
  for (const auto& [name, tensor] : file) {
    checkpoint |= name.starts_with(kPrefix);
    best |= name == kBestCounts && any_best(tensor);
  }
  return best ? kBestPrefix : checkpoint ? kPrefix : "";
}

/// The file's tensors under the encoder's names; the names that belong to no encoder are put aside.
TensorsByName read_for_encoder(const fs::path& path, const TensorsByName& wanted,
                               std::vector<std::string>& ignored) {
  refuse_other_files(path);
  const std::vector<NamedTensor> all = read_safetensors(path);
  const std::string_view prefix = prefix_in(all);
  TensorsByName found;
  for (const auto& [name, tensor] : all) {
    const bool beside =
        !wanted.contains(name) &&
        std::any_of(std::begin(kBeside), std::end(kBeside),
                    [&](std::string_view start) { return name.starts_with(start); });
    if (prefix.empty() ? beside : !name.starts_with(prefix))
      ignored.push_back(name);
    else
      found[name.substr(prefix.size())] = tensor;
  }
  return found;
}

/// Why `stored` cannot become `live`; "" where it can, and then it is converted.
std::string fault_of(at::Tensor& stored, const at::Tensor& live) {
  if (stored.sizes() != live.sizes() || stored.is_floating_point() != live.is_floating_point() ||
      (!stored.is_floating_point() && stored.scalar_type() != live.scalar_type()))
    return "the file has " + shape_text(stored) + ", the encoder " + shape_text(live);
  stored = stored.to(live.scalar_type());
  if (stored.is_floating_point() && !at::isfinite(stored).all().item<bool>())
    return "it holds values that are not finite as " +
           std::string(c10::toString(live.scalar_type()));
  return "";
}

}  // namespace

torch::nn::Module& backbone_of(const Method& method) {
  for (const auto& child : method.named_children())
    if (child.key() == "encoder") return *child.value();
  TORCH_CHECK(false, "this method has no module named 'encoder'");
}

std::string backbone_sha256(const torch::nn::Module& encoder) {
  return sha256_of_state(in_order(tensors_of(encoder)), {});
}

std::string export_backbone(const torch::nn::Module& encoder, const fs::path& path,
                            std::map<std::string, std::string> metadata) {
  const std::vector<NamedTensor> tensors = in_order(tensors_of(encoder));
  const std::string sha256 = backbone_sha256(encoder);
  metadata["format"] = "pt";  // what readers of safetensors in Python ask for
  metadata["sha256"] = sha256;
  const fs::path temporary = path.string() + ".tmp";
  write_safetensors(temporary, tensors, metadata);
  publish_file(temporary, path);
  return sha256;
}

std::string export_backbone(const Method& method, const fs::path& path,
                            std::map<std::string, std::string> metadata) {
  return export_backbone(backbone_of(method), path, std::move(metadata));
}

InitialWeights load_initial_weights(torch::nn::Module& encoder, const fs::path& path) {
  const c10::NoGradGuard no_grad;
  const TensorsByName live = tensors_of(encoder);
  InitialWeights result;
  TensorsByName stored = read_for_encoder(path, live, result.ignored);
  std::string differences;
  for (const auto& [name, tensor] : live) {
    const auto it = stored.find(name);
    if (it == stored.end()) {
      differences += "\n  missing in the file: " + name + " (" + shape_text(tensor) + ")";
      continue;
    }
    const std::string fault = fault_of(it->second, tensor);
    if (!fault.empty()) differences += "\n  " + name + ": " + fault;
  }
  for (const auto& [name, tensor] : stored)
    if (!live.contains(name))
      differences += "\n  only in the file: " + name + " (" + shape_text(tensor) + ")";
  if (!differences.empty())
    throw CheckpointError(
        "the weights in " + path.string() + " do not fit this encoder:" + differences +
        "\nNothing was changed. Needed are torchvision's names (vit_*: timm's) "
        "without a prefix; set model.name, model.width, model.small_stem, "
        "model.patch, augment.size and model.norm (of recommenders model.layers, "
        "model.hidden, data.max_length and the data) as the weights were trained, "
        "or give another file");
  for (const auto& [name, tensor] : live) at::Tensor(tensor).copy_(stored.at(name));
  result.sha256 = backbone_sha256(encoder);
  return result;
}

InitialWeights load_initial_weights(Method& method, const fs::path& path) {
  InitialWeights weights = load_initial_weights(backbone_of(method), path);
  method.weights_replaced();
  return weights;
}

}  // namespace cltrain
