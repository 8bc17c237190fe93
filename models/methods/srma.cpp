#include "models/methods/srma.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

namespace cltrain {
namespace {

AugmentedLayerType layer_type_named(const std::string& name) {
  if (name == "inter") return AugmentedLayerType::kInter;
  return name == "sasrec" ? AugmentedLayerType::kSasrec : AugmentedLayerType::kSingle;
}

/// The extra layers, as a part of the encoder whose outputs they take: weights travel together.
std::shared_ptr<AugmentedLayers> add_layers(SequenceEncoder& encoder, const SrmaOptions& options,
                                            uint64_t seed) {
  auto layers = std::make_shared<AugmentedLayers>(
      AugmentedLayerSettings{.type = layer_type_named(options.layer_kind),
                             .layers = options.layers,
                             .layer = encoder.settings().layer,
                             .first_site = encoder.sites()});
  initialize_sequence_layers(*layers->named_children()["augment_layers"], seed, "augmented_layers");
  encoder.named_children()["item_encoder"]->register_module("aug_layer", layers);
  return layers;
}

}  // namespace

Srma::Srma(const MethodParts& parts)
    : HistoryContrast(parts, parts.options.srma.contrast),
      options_of_srma_(parts.options.srma),
      layers_(add_layers(*encoder_, options_of_srma_, parts.seed)) {
  if (options_of_srma_.complement.empty()) return;
  complement_ = register_module("complement", make_sequence_encoder(parts));
  complement_layers_ = add_layers(*complement_, options_of_srma_, parts.seed);
  for (at::Tensor& parameter : complement_->parameters()) parameter.requires_grad_(false);
}

std::vector<BorrowedNetwork> Srma::borrowed() {
  if (!complement_) return {};
  return {{.option = "srma.complement",
           .from = options_of_srma_.complement,
           .module = complement_.get(),
           .alike = {"data.name", "data.min_rating", "data.user_core", "data.item_core",
                     "data.max_length", "model.layers", "model.heads", "model.hidden",
                     "srma.layers", "srma.layer_kind"}}};
}

std::vector<int64_t> Srma::kept(const StepContext& context, uint32_t view) const {
  const PhiloxKey key =
      random_key(context.seed, Purpose::kLayerDrop, static_cast<uint64_t>(context.step));
  return kept_layers(
      key, options_of_srma_.layers,
      {.dropped = options_of_srma_.drop_layers, .threshold = options_of_srma_.keep_below},
      options_of_srma_.layer_draw == "shared" && view != kNextItemPass ? 0 : view);
}

at::Tensor Srma::next_item_outputs(const TokenRows& rows, const Batch& chunk,
                                   const StepContext& context) {
  const at::Tensor outputs = HistoryContrast::next_item_outputs(rows, chunk, context);
  if (!options_of_srma_.layers_in_training) return outputs;
  return layers_->forward(outputs, rows, kept(context, kNextItemPass),
                          draws(chunk, context, kNextItemPass));
}

at::Tensor Srma::view_outputs(const TokenRows& rows, const Batch& chunk, const StepContext& context,
                              uint32_t view) {
  DropoutDraws masks = draws(chunk, context, view);
  masks.training = masks.training && options_of_srma_.neuron_masking;
  return layers_->forward(encoder_->forward(rows, masks), rows, kept(context, view), masks);
}

std::vector<at::Tensor> Srma::encode(const Phase& phase, const Batch& chunk,
                                     const StepContext& context) {
  std::vector<at::Tensor> encoded = HistoryContrast::encode(phase, chunk, context);
  if (!complement_) return encoded;
  const c10::NoGradGuard no_grad;
  DropoutDraws masks;
  if (options_of_srma_.complement_dropout) masks = draws(chunk, context, kComplementPass);
  const TokenRows rows = rows_of(chunk.tensors.at("items"));
  const at::Tensor outputs = complement_layers_->forward(
      complement_->forward(rows, masks), rows, all_layers(options_of_srma_.layers), masks);
  encoded.push_back(vector_of(outputs, rows));
  return encoded;
}

LossShare Srma::contrast(const Phase& phase, const std::vector<at::Tensor>& encoded,
                         const Batch& batch, const StepContext& context) {
  LossShare loss = HistoryContrast::contrast(phase, encoded, batch, context);
  if (!complement_) return loss;
  const at::Tensor with_complement = pair_loss(encoded.at(1), encoded.at(3), context) +
                                     pair_loss(encoded.at(2), encoded.at(3), context);
  loss.share = loss.share + options_.weight * options_of_srma_.complement_weight * with_complement;
  loss.scalars.emplace_back("complement_loss",
                            over_ranks(with_complement, *context.communicators.control));
  return loss;
}

LossPlan Srma::plan_loss(const LossShape& shape, const ContrastSettings& settings) const {
  const LossPlan pair = HistoryContrast::plan_loss(shape, settings);
  return complement_ ? pair + pair + pair : pair;
}

at::Tensor Srma::embed(const at::Tensor& items) {
  const TokenRows rows = ragged_rows(items);
  return last_of_rows(
      layers_->forward(encoder_->forward(rows, {}), rows, all_layers(options_of_srma_.layers), {}),
      rows);
}

}  // namespace cltrain
