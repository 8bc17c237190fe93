#include "models/methods/moco_v3.h"

#include "models/nets/momentum.h"
#include "models/registry.h"
#include "ops/unit_rows.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>

namespace cltrain {
namespace {

bool with_vit(const MethodParts& parts) {
  return parts.options.model.name.starts_with("vit");
}

// facebookresearch/moco-v3, CONFIG.md.
MocoV3Options chosen(const MethodParts& parts) {
  MocoV3Options options = parts.options.moco_v3;
  if (options.temperature == 0) options.temperature = with_vit(parts) ? 0.2 : 1.0;
  return options;
}

// The same, moco/builder.py: projectors end in a norm without scale and shift.
HeadSettings projector_of(const MethodParts& parts) {
  HeadSettings head = parts.head;
  if (head.layers == 0) head.layers = with_vit(parts) ? 3 : 2;
  head.last = LastNorm::kPlain;
  return head;
}

HeadSettings predictor_of(const MethodParts& parts) {
  HeadSettings head = parts.head;
  head.layers = 2;
  head.hidden = parts.options.moco_v3.predictor_hidden;
  const std::string& norm = parts.options.moco_v3.predictor_last_norm;
  const bool last_norm = norm == "auto" ? with_vit(parts) : norm == "true";
  head.last = last_norm ? LastNorm::kPlain : LastNorm::kNone;
  head.last_bias = false;
  return head;
}

}  // namespace

MocoV3::MocoV3(const MethodParts& parts)
    : options_(chosen(parts)),
      contrast_(contrast_settings(parts.options.loss)),
      networks_(*this, parts, projector_of(parts), /*shuffle=*/false),
      predictor_(register_module(
          "predictor", std::make_shared<ProjectionHead>(parts.head.out, predictor_of(parts)))) {
  initialize(*predictor_, parts.seed, "predictor");
}

void MocoV3::weights_replaced() {
  networks_.copy();
}

std::vector<ParameterGroup> MocoV3::groups() {
  ParameterGroup all = networks_.group("all");
  for (const NamedTensor& item : parameters_of("", {{"predictor", predictor_.get()}}).parameters)
    all.parameters.push_back(item);
  return {all};
}

// One view at a time, as the paper's code has it: batch norm never sees both views together.
std::vector<at::Tensor> MocoV3::encode(const Phase&, const Batch& chunk,
                                       const StepContext& context) {
  std::vector<at::Tensor> encoded;
  for (const char* view : {"view0", "view1"}) {
    const at::Tensor projection = networks_.projection(chunk.tensors.at(view));
    encoded.push_back(unit_rows(predictor_->forward(projection), networks_.type()));
  }
  for (const char* view : {"view0", "view1"})
    encoded.push_back(networks_.keys(chunk.tensors.at(view), context));
  return encoded;
}

LossShare MocoV3::contrast(const Phase&, const std::vector<at::Tensor>& encoded, const Batch&,
                           const StepContext& context) {
  const double temperature = options_.temperature;
  const at::Tensor scale = at::full({}, 1 / temperature, at::kDouble);
  const auto direction = [&](const at::Tensor& queries, const at::Tensor& keys) {
    return global_info_nce(queries, keys, scale, context.rows, *context.communicators.loss,
                           context.enter, contrast_);
  };
  const at::Tensor share = direction(encoded[0], encoded[3]) + direction(encoded[1], encoded[2]);
  return {.share = 2 * temperature * share,
          .scalars = {{"momentum", momentum_at(options_.momentum, options_.momentum_schedule,
                                               context.step, context.total_steps)}},
          .embeddings = {encoded[0].detach(), encoded[3].detach()}};
}

// The paper's code moves the keys' network before it is used, with the momentum of that step: the
// same, done here behind the update of the step before.
void MocoV3::after_phase(const Phase&, const Batch&, const StepContext& context) {
  networks_.follow(momentum_at(options_.momentum, options_.momentum_schedule, context.step + 1,
                               context.total_steps));
}

at::Tensor MocoV3::embed(const at::Tensor& images) {
  return networks_.features(images);
}

LossPlan MocoV3::plan_loss(const LossShape& shape, const ContrastSettings& settings) const {
  return plan_info_nce(shape, settings);
}

int64_t MocoV3::negatives_per_anchor(int64_t global_batch) const {
  return global_batch - 1;
}

}  // namespace cltrain
