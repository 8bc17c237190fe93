#include "models/methods/simclr.h"

#include "ops/unit_rows.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>

namespace cltrain {

Simclr::Simclr(std::shared_ptr<Encoder> encoder, const HeadSettings& head,
               const SimclrOptions& options, uint64_t seed, const ContrastSettings& contrast)
    : encoder_(register_module("encoder", std::move(encoder))),
      head_(
          register_module("head", std::make_shared<ProjectionHead>(encoder_->feature_dim(), head))),
      contrast_(contrast) {
  initialize(*head_, seed, "head");
  const at::Tensor start = at::full({}, -std::log(options.temperature), at::kDouble);
  log_scale_ = options.learn_temperature ? register_parameter("log_scale", start)
                                         : register_buffer("log_scale", start);
}

std::vector<ParameterGroup> Simclr::groups() {
  ParameterGroup all{"all", {}};
  for (const auto& item : named_parameters()) all.parameters.emplace_back(item.key(), item.value());
  return {all};
}

std::vector<at::Tensor> Simclr::encode(const Phase&, const Batch& chunk, const StepContext&) {
  // Both views in one pass, so that batch norm sees all 2b rows.
  const at::Tensor views = at::cat({chunk.tensors.at("view0"), chunk.tensors.at("view1")});
  const at::Tensor unit =
      unit_rows(head_->forward(encoder_->forward(views)), log_scale_.scalar_type());  // [2b, D]
  const int64_t rows = unit.size(0) / 2;
  return {unit.narrow(0, 0, rows), unit.narrow(0, rows, rows)};
}

LossShare Simclr::contrast(const Phase&, const std::vector<at::Tensor>& encoded, const Batch&,
                           const StepContext& context) {
  const at::Tensor &view0 = encoded.at(0), &view1 = encoded.at(1);
  const at::Tensor scale = log_scale_.exp();
  const at::Tensor share = global_nt_xent(view0, view1, scale, context.rows,
                                          *context.communicators.loss, context.enter, contrast_);
  return {.share = share,
          .scalars = {{"temperature", 1.0 / scale.item<double>()}},
          .embeddings = {view0.detach(), view1.detach()}};
}

at::Tensor Simclr::embed(const at::Tensor& images) {
  return encoder_->forward(images);
}

LossPlan Simclr::plan_loss(const LossShape& shape, const ContrastSettings& settings) const {
  return plan_nt_xent(shape, settings);
}

int64_t Simclr::negatives_per_anchor(int64_t global_batch) const {
  return 2 * global_batch - 2;
}

}  // namespace cltrain
