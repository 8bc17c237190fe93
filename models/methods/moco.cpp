#include "models/methods/moco.h"

#include "models/registry.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>

namespace cltrain {
namespace {

// facebookresearch/moco, moco/builder.py: linear layers with bias, ReLU between, no norms.
HeadSettings head_of(const HeadSettings& given, MocoVersion version) {
  HeadSettings head = given;
  if (head.layers == 0) head.layers = version == MocoVersion::kV1 ? 1 : 2;
  head.norms = false;
  head.last = LastNorm::kNone;
  return head;
}

double temperature_of(const MocoOptions& options, MocoVersion version) {
  if (options.temperature > 0) return options.temperature;
  return version == MocoVersion::kV1 ? 0.07 : 0.2;
}

}  // namespace

Moco::Moco(const MethodParts& parts, MocoVersion version)
    : options_(parts.options.moco),
      contrast_(contrast_settings(parts.options.loss)),
      temperature_(temperature_of(options_, version)),
      networks_(*this, parts, head_of(parts.head, version), options_.shuffle_bn),
      queue_(register_module(
          "queue", std::make_shared<ShardedQueue>(options_.queue, parts.head.out, parts.seed,
                                                  parts.communicator))) {}

void Moco::weights_replaced() {
  networks_.copy();
}

std::vector<ParameterGroup> Moco::groups() {
  return {networks_.group("all")};
}

std::vector<at::Tensor> Moco::encode(const Phase&, const Batch& chunk, const StepContext& context) {
  const at::Tensor &view0 = chunk.tensors.at("view0"), &view1 = chunk.tensors.at("view1");
  std::vector<at::Tensor> encoded{networks_.queries(view0), networks_.keys(view1, context)};
  if (options_.symmetric) {
    encoded.push_back(networks_.queries(view1));
    encoded.push_back(networks_.keys(view0, context));
  }
  return encoded;
}

LossShare Moco::contrast(const Phase&, const std::vector<at::Tensor>& encoded, const Batch&,
                         const StepContext& context) {
  const at::Tensor scale = at::full({}, 1 / temperature_, at::kDouble);
  LossShare loss;
  new_keys_.clear();
  for (size_t i = 0; i < encoded.size(); i += 2) {
    const at::Tensor share =
        global_queue_info_nce(encoded[i], encoded[i + 1], *queue_, scale, context.rows,
                              *context.communicators.loss, context.enter, contrast_);
    loss.share = i == 0 ? share : loss.share + share;
    new_keys_.push_back(encoded[i + 1].detach());
  }
  loss.embeddings = {encoded[0].detach(), encoded[1].detach()};
  return loss;
}

void Moco::after_phase(const Phase&, const Batch& batch, const StepContext& context) {
  networks_.follow(options_.momentum);
  queue_->push(new_keys_, context.rows, batch.cut.gathered_places());
  new_keys_.clear();
}

at::Tensor Moco::embed(const at::Tensor& images) {
  return networks_.features(images);
}

LossPlan Moco::plan_loss(const LossShape& shape, const ContrastSettings& settings) const {
  return plan_queue_info_nce(shape, settings, queue_->size(), /*fading=*/false);
}

int64_t Moco::negatives_per_anchor(int64_t) const {
  return queue_->size();
}

}  // namespace cltrain
