#include "models/methods/click_through.h"

#include "models/nets/layers.h"
#include "models/registry.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

const ClickColumns& columns_of(const MethodParts& parts) {
  TORCH_CHECK(parts.input.clicks != nullptr,
              "a click-through model is made for the columns of a data set, and there is none");
  return *parts.input.clicks;
}

}  // namespace

ClickThrough::ClickThrough(const MethodParts& parts)
    : options_(parts.options.easyrec), settings_(contrast_settings(parts.options.loss)) {
  backbone_ = register_module("encoder", std::make_shared<Backbone>(read_model_file(options_.model),
                                                                    columns_of(parts), parts.seed));
  output_ = register_module("output", std::make_shared<Linear>(backbone_->feature_dim(), 1));
  initialize(*output_, parts.seed, "output");
}

std::vector<ParameterGroup> ClickThrough::groups() {
  ParameterGroup all{"all", {}};
  for (const auto& item : named_parameters()) all.parameters.emplace_back(item.key(), item.value());
  return {all};
}

at::Tensor ClickThrough::penalty() const {
  at::Tensor sum = at::zeros({}, output_->weight.options());
  const auto add = [&](double weight, const std::vector<at::Tensor>& parameters) {
    if (weight == 0) return;
    for (const at::Tensor& parameter : parameters)
      sum = sum + 0.5 * weight * parameter.square().sum();
  };
  const std::vector<at::Tensor> tables = backbone_->embeddings().parameters();
  add(options_.embedding_regularization, tables);
  std::vector<at::Tensor> dense;
  for (const auto& module : modules())
    if (const auto* linear = module->as<Linear>()) dense.push_back(linear->weight);
  add(options_.l2_regularization, dense);
  return sum;
}

std::vector<at::Tensor> ClickThrough::encode(const Phase&, const Batch& chunk,
                                             const StepContext& context) {
  const auto epoch = static_cast<uint64_t>(context.epoch),
             step = static_cast<uint64_t>(context.step);
  const Backbone::Output output =
      backbone_->forward(chunk.tensors.at("features"),
                         {.training = is_training(),
                          .augmentation = random_key(context.seed, Purpose::kAugmentation, epoch),
                          .dropout = random_key(context.seed, Purpose::kDropout, step),
                          .sample_ids = chunk.ids});
  const at::Tensor logits = output_->forward(output.features).squeeze(1);
  // The same in every row, so that its mean over the global batch is it, and a rank without rows
  // adds nothing.
  std::vector<at::Tensor> encoded{logits, penalty().expand({logits.size(0)})};
  for (const AuxiliaryPair& pair : output.pairs) {
    for (const at::Tensor& side : {pair.left, pair.right})
      encoded.push_back(side.to(output_->weight.scalar_type()));
  }
  return encoded;
}

at::Tensor ClickThrough::auxiliary_share(const AuxiliaryLossSettings& loss, const at::Tensor& left,
                                         const at::Tensor& right,
                                         const StepContext& context) const {
  if (loss.loss_type == "l2_loss")
    return (left - right).square().sum(at::kDouble) / static_cast<double>(context.global_rows());
  const at::Tensor scale = at::full({}, 1 / loss.temperature, left.options());
  const auto& contrast = loss.loss_type == "nce_loss" ? global_nt_xent : global_one_way;
  return contrast(left, right, scale, context.rows, *context.communicators.loss, context.enter,
                  settings_);
}

LossShare ClickThrough::contrast(const Phase&, const std::vector<at::Tensor>& encoded,
                                 const Batch& batch, const StepContext& context) {
  const at::Tensor logits = encoded.at(0).to(output_->weight.scalar_type());
  const at::Tensor click = batch.tensors.at("click").to(logits.scalar_type());
  const auto rows = static_cast<double>(context.global_rows());
  // -log sigmoid(z) of clicks, -log sigmoid(-z) of others.
  const at::Tensor entropy = (at::softplus(logits) - click * logits).sum(at::kDouble) / rows;
  const Communicator& control = *context.communicators.control;
  LossShare loss{.share = entropy + encoded.at(1).sum(at::kDouble) / rows,
                 .scalars = {{"click_loss", over_ranks(entropy, control)}}};
  const std::vector<Backbone::Loss>& losses = backbone_->losses();
  for (size_t i = 0; i < losses.size(); ++i) {
    const at::Tensor share =
        auxiliary_share(losses[i].settings, encoded.at(2 + 2 * i), encoded.at(3 + 2 * i), context);
    loss.share = loss.share + losses[i].settings.loss_weight * share;
    loss.scalars.emplace_back(losses[i].block + "_loss", over_ranks(share, control));
  }
  context.enter("loss");
  return loss;
}

at::Tensor ClickThrough::embed(const at::Tensor& features) {
  return backbone_->forward(features, {}).features;
}

at::Tensor ClickThrough::classify(const at::Tensor& features) {
  return output_->forward(features.to(output_->weight.device(), output_->weight.scalar_type()));
}

LossPlan ClickThrough::plan_loss(const LossShape& shape, const ContrastSettings& settings) const {
  LossPlan plan;
  for (const Backbone::Loss& loss : backbone_->losses()) {
    if (loss.settings.loss_type == "nce_loss") plan = plan + plan_nt_xent(shape, settings);
    if (loss.settings.loss_type == "info_nce") plan = plan + plan_info_nce(shape, settings);
  }
  return plan;
}

int64_t ClickThrough::negatives_per_anchor(int64_t global_batch) const {
  for (const Backbone::Loss& loss : backbone_->losses()) {
    if (loss.settings.loss_type == "nce_loss") return 2 * (global_batch - 1);
    if (loss.settings.loss_type == "info_nce") return global_batch - 1;
  }
  return 0;
}

}  // namespace cltrain
