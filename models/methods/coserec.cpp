#include "models/methods/coserec.h"

#include "data/sequences/sequence_rows.h"
#include "ops/row_range.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

namespace cltrain {
namespace {

constexpr int64_t kRowsAtOnce = 512;

Neighbours neighbours_of(const at::Tensor& best, const at::Tensor& score) {
  const at::Tensor ids = best.to(at::kCPU, at::kInt).contiguous();
  const at::Tensor values = score.to(at::kCPU, at::kFloat).contiguous();
  const auto count = static_cast<size_t>(ids.numel());
  return {{ids.const_data_ptr<int32_t>(), ids.const_data_ptr<int32_t>() + count},
          {values.const_data_ptr<float>(), values.const_data_ptr<float>() + count}};
}

/// The other item with the largest dot product, and that product, of the rows of a table whose
/// first and last row are no items.
std::pair<at::Tensor, at::Tensor> nearest_rows(const at::Tensor& table, const RowRange& rows) {
  at::Tensor best = at::zeros({rows.count()}, table.options().dtype(at::kLong));
  at::Tensor score = at::zeros({rows.count()}, table.options());
  const int64_t items = table.size(0) - 2;
  if (items < 2) return {best + 1, score};
  const at::Tensor candidates = table.narrow(0, 1, items).t();
  for (int64_t begin = rows.begin; begin < rows.end; begin += kRowsAtOnce) {
    const int64_t count = std::min(kRowsAtOnce, rows.end - begin);
    at::Tensor products = at::mm(table.narrow(0, begin, count), candidates);
    const at::Tensor itself = at::arange(begin, begin + count, best.options()).unsqueeze(1);
    const at::Tensor ids = at::arange(1, items + 1, best.options()).unsqueeze(0);
    products.masked_fill_(itself == ids, -std::numeric_limits<double>::infinity());
    const auto [values, places] = products.max(1);
    score.narrow(0, begin - rows.begin, count).copy_(values);
    best.narrow(0, begin - rows.begin, count).copy_(places + 1);
  }
  return {best, score};
}

const SequenceSet& sequences_of(const MethodParts& parts) {
  TORCH_CHECK(parts.input.sequences != nullptr,
              "coserec counts which items are alike in the training data, and has none");
  return *parts.input.sequences;
}

}  // namespace

Coserec::Coserec(const MethodParts& parts)
    : HistoryContrast(parts, parts.options.coserec.contrast),
      online_from_(parts.options.coserec.online_from),
      similar_(augment_),
      counted_(most_similar(sequences_of(parts).interactions(),
                            item_similarity(parts.options.coserec.similarity),
                            random_key(parts.seed, Purpose::kAugmentation, 0))),
      used_(counted_) {
  const CoserecOptions& options = parts.options.coserec;
  similar_.substitute = options.substitute;
  similar_.insert = options.insert;
  similar_.short_threshold = options.short_up_to;
  similar_.short_choices = operations_named(options.short_augment);
  similar_.short_reorder = options.contrast.mask;
  check(similar_);
  if (online_from_ == 0) return;
  const int64_t ids = item_table().size(0);
  online_best_ = register_buffer("online_best", at::zeros({ids}, at::kLong));
  online_score_ = register_buffer("online_score", at::zeros({ids}, at::kFloat));
  seen_ = online_best_.clone();
}

std::vector<int32_t> Coserec::augmented(std::span<const int32_t> history, PhiloxKey key,
                                        int64_t user, uint32_t view) const {
  return augment(history, similar_, used_, key, user, view);
}

// A checkpoint that was loaded changes the buffers without telling.
std::vector<at::Tensor> Coserec::encode(const Phase& phase, const Batch& chunk,
                                        const StepContext& context) {
  if (online_from_ > 0 && !at::equal(online_best_.cpu(), seen_)) {
    seen_ = online_best_.cpu().clone();
    used_ = hybrid(counted_, neighbours_of(online_best_, online_score_));
  }
  return HistoryContrast::encode(phase, chunk, context);
}

void Coserec::after_phase(const Phase&, const Batch&, const StepContext& context) {
  if (online_from_ == 0 || !context.last_of_epoch || context.epoch + 1 < online_from_) return;
  const c10::NoGradGuard no_grad;
  const Communicator& ranks = *context.communicators.control;
  const at::Tensor table = item_table().detach();
  std::vector<int64_t> counts;
  for (int rank = 0; rank < ranks.size(); ++rank)
    counts.push_back(rank_share(table.size(0), rank, ranks.size()).count());
  const auto [best, score] =
      nearest_rows(table, rank_share(table.size(0), ranks.rank(), ranks.size()));
  online_best_.copy_(ranks.all_gather(best.cpu(), counts));
  online_score_.copy_(ranks.all_gather(score.cpu(), counts));
}

}  // namespace cltrain
