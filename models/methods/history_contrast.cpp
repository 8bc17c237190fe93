#include "models/methods/history_contrast.h"

#include "data/sequences/leave_one_out.h"
#include "models/registry.h"
#include "ops/unit_rows.h"

#include <algorithm>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>

namespace cltrain {
namespace {

/// A left-padded row without its padding.
std::vector<int32_t> items_of(const int64_t* row, int64_t length) {
  const int64_t* first = std::find_if(row, row + length, [](int64_t item) { return item != 0; });
  return {first, row + length};
}

SequenceAugmentSettings augment_settings(const HistoryContrastOptions& options) {
  SequenceAugmentSettings settings{.choices = {operations_named(options.augment)},
                                   .crop = options.crop,
                                   .mask = options.mask,
                                   .reorder = options.reorder};
  check(settings);
  return settings;
}

}  // namespace

std::vector<SequenceOperation> operations_named(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ",") + name;
  return sequence_operations(list);
}

HistoryContrast::HistoryContrast(const MethodParts& parts, const HistoryContrastOptions& contrast)
    : SequenceRecommender(parts),
      options_(contrast),
      augment_(augment_settings(contrast)),
      settings_(contrast_settings(parts.options.loss)) {}

std::vector<int32_t> HistoryContrast::augmented(std::span<const int32_t> history, PhiloxKey key,
                                                int64_t user, uint32_t view) const {
  return augment(history, augment_, {}, key, user, view);
}

at::Tensor HistoryContrast::view_items(const Batch& chunk, const StepContext& context,
                                       uint32_t view) const {
  const at::Tensor& items = chunk.tensors.at("items");
  const at::Tensor history = chunk.tensors.at("history").cpu().contiguous();
  const int64_t rows = items.size(0), window = items.size(1), length = history.size(1);
  const PhiloxKey key =
      random_key(context.seed, Purpose::kAugmentation, static_cast<uint64_t>(context.epoch));
  at::Tensor made = at::empty({rows, window}, at::kLong);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t user = chunk.ids.const_data_ptr<int64_t>()[row];
    const std::vector<int32_t> whole =
        items_of(history.const_data_ptr<int64_t>() + row * length, length);
    write_window(augmented(whole, key, user, view), window,
                 made.mutable_data_ptr<int64_t>() + row * window);
  }
  return made.to(items.device());
}

TokenRows HistoryContrast::rows_of(const at::Tensor& items) const {
  return options_.vector == "flat" ? whole_rows(items) : ragged_rows(items);
}

at::Tensor HistoryContrast::vector_of(const at::Tensor& outputs, const TokenRows& rows) const {
  const at::Tensor wide = outputs.to(item_table().scalar_type());
  const at::Tensor vectors = options_.vector == "flat"   ? to_padded(wide, rows).flatten(1)
                             : options_.vector == "last" ? last_of_rows(wide, rows)
                                                         : mean_of_rows(wide, rows);
  return options_.normalize ? unit_rows(vectors) : vectors.contiguous();
}

at::Tensor HistoryContrast::view_outputs(const TokenRows& rows, const Batch& chunk,
                                         const StepContext& context, uint32_t view) {
  return encoder_->forward(rows, draws(chunk, context, view));
}

std::vector<at::Tensor> HistoryContrast::encode(const Phase&, const Batch& chunk,
                                                const StepContext& context) {
  std::vector<at::Tensor> encoded{next_item_losses(chunk, context)};
  for (const uint32_t view : {0u, 1u}) {
    const TokenRows rows = rows_of(view_items(chunk, context, view));
    encoded.push_back(vector_of(view_outputs(rows, chunk, context, view), rows));
  }
  return encoded;
}

at::Tensor HistoryContrast::pair_loss(const at::Tensor& left, const at::Tensor& right,
                                      const StepContext& context) const {
  const at::Tensor scale = at::full({}, 1 / options_.temperature, left.options());
  return global_nt_xent(left, right, scale, context.rows, *context.communicators.loss,
                        context.enter, settings_);
}

LossShare HistoryContrast::contrast(const Phase&, const std::vector<at::Tensor>& encoded,
                                    const Batch& batch, const StepContext& context) {
  const at::Tensor next = mean_over_targets(encoded.at(0), batch, context);
  const at::Tensor pairs = pair_loss(encoded.at(1), encoded.at(2), context);
  const Communicator& control = *context.communicators.control;
  return {.share = next + options_.weight * pairs,
          .scalars = {{"next_item_loss", over_ranks(next, control)},
                      {"contrast_loss", over_ranks(pairs, control)}},
          .embeddings = {unit_rows(encoded[1].detach()), unit_rows(encoded[2].detach())}};
}

LossPlan HistoryContrast::plan_loss(const LossShape& shape,
                                    const ContrastSettings& settings) const {
  return plan_nt_xent(shape, settings);
}

int64_t HistoryContrast::negatives_per_anchor(int64_t global_batch) const {
  return 2 * global_batch - 2;
}

}  // namespace cltrain
