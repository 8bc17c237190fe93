#include "models/methods/sequence_recommender.h"

#include "data/sequences/sequence_rows.h"
#include "dist/communicator.h"

#include <numeric>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/full.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

namespace cltrain {

std::shared_ptr<SequenceEncoder> make_sequence_encoder(const MethodParts& parts) {
  const ModelOptions& model = parts.options.model;
  TORCH_CHECK(parts.input.sequences != nullptr && parts.input.length > 0,
              "a recommender is made for the items of a data set, and there is none");
  auto encoder = std::make_shared<SequenceEncoder>(
      SequenceEncoderSettings{.items = parts.input.sequences->interactions().items(),
                              .max_length = parts.input.length,
                              .layers = model.layers,
                              .layer = {.dim = model.hidden,
                                        .heads = model.heads,
                                        .inner = 4 * model.hidden,
                                        .hidden_dropout = model.dropout,
                                        .attention_dropout = model.attention_dropout}});
  initialize_sequence_layers(*encoder, parts.seed);
  return encoder;
}

SequenceRecommender::SequenceRecommender(const MethodParts& parts)
    : encoder_(register_module("encoder", make_sequence_encoder(parts))), seed_(parts.seed) {}

std::vector<ParameterGroup> SequenceRecommender::groups() {
  ParameterGroup all{"all", {}};
  for (const auto& item : named_parameters())
    if (item.value().requires_grad()) all.parameters.emplace_back(item.key(), item.value());
  return {all};
}

DropoutDraws SequenceRecommender::draws(const Batch& chunk, const StepContext& context,
                                        uint32_t pass) const {
  return {.training = is_training(),
          .key = random_key(context.seed, Purpose::kDropout, static_cast<uint64_t>(context.step)),
          .sample_ids = chunk.ids,
          .view = pass};
}

at::Tensor SequenceRecommender::next_item_losses(const Batch& chunk, const StepContext& context) {
  const at::Tensor& items = chunk.tensors.at("items");
  const TokenRows rows = ragged_rows(items);
  const at::Tensor outputs = next_item_outputs(rows, chunk, context);  // [T, D]
  const auto of_tokens = [&](const char* name) {
    return chunk.tensors.at(name).flatten().index_select(0, rows.places);
  };
  const at::Tensor next = of_tokens("targets"), other = of_tokens("negatives");
  const at::Tensor table = item_table();
  // One look-up for both, so that the table's gradient is made once.
  const at::Tensor candidates = at::embedding(table, at::cat({next, other}));
  const int64_t tokens = rows.tokens();
  const at::Tensor hidden = outputs.to(table.scalar_type());
  const at::Tensor for_next = (hidden * candidates.narrow(0, 0, tokens)).sum(1);
  const at::Tensor for_other = (hidden * candidates.narrow(0, tokens, tokens)).sum(1);
  const at::Tensor losses =
      (at::softplus(-for_next) + at::softplus(for_other)).masked_fill(next == 0, 0);
  return at::zeros({items.size(0)}, losses.options())
      .index_add(0, rows.places.floor_divide(rows.length), losses);
}

at::Tensor SequenceRecommender::next_item_outputs(const TokenRows& rows, const Batch& chunk,
                                                  const StepContext& context) {
  return encoder_->forward(rows, draws(chunk, context, kNextItemPass));
}

at::Tensor SequenceRecommender::mean_over_targets(const at::Tensor& losses, const Batch& batch,
                                                  const StepContext& context) {
  const auto here = batch.tensors.at("targets").count_nonzero().item<int64_t>();
  const std::vector<int64_t> targets = context.communicators.control->all_gather_count(here);
  const int64_t all = std::accumulate(targets.begin(), targets.end(), int64_t{0});
  return losses.sum(at::kDouble) / static_cast<double>(std::max<int64_t>(all, 1));
}

std::vector<at::Tensor> SequenceRecommender::encode(const Phase&, const Batch& chunk,
                                                    const StepContext& context) {
  return {next_item_losses(chunk, context)};
}

LossShare SequenceRecommender::contrast(const Phase&, const std::vector<at::Tensor>& encoded,
                                        const Batch& batch, const StepContext& context) {
  context.enter("loss");
  return {.share = mean_over_targets(encoded.at(0), batch, context)};
}

at::Tensor SequenceRecommender::embed(const at::Tensor& items) {
  const TokenRows rows = ragged_rows(items);
  return last_of_rows(encoder_->forward(rows, {}), rows);
}

LossPlan SequenceRecommender::plan_loss(const LossShape&, const ContrastSettings&) const {
  return {};
}

int64_t SequenceRecommender::negatives_per_anchor(int64_t) const {
  return 1;
}

}  // namespace cltrain
