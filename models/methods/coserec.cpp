#include "models/methods/coserec.h"

#include "data/sequences/sequence_rows.h"
#include "ops/row_range.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

namespace cltrain {
namespace {

constexpr int64_t kRowsAtOnce = 512;

Neighbours neighbours_of(const at::Tensor& best, const at::Tensor& score, const at::Tensor& range) {
  const at::Tensor ids = best.to(at::kCPU, at::kInt).contiguous();
  const at::Tensor values = score.to(at::kCPU, at::kFloat).contiguous();
  const at::Tensor ends = range.to(at::kCPU, at::kFloat).contiguous();
  const auto count = static_cast<size_t>(ids.numel());
  return {{ids.const_data_ptr<int32_t>(), ids.const_data_ptr<int32_t>() + count},
          {values.const_data_ptr<float>(), values.const_data_ptr<float>() + count},
          ends[0].item<float>(),
          ends[1].item<float>()};
}

/// Of some rows of a table, whose first and last row are no items.
struct Nearest {
  at::Tensor best;   ///< the other item with the largest dot product, int64
  at::Tensor score;  ///< that product, float32
  at::Tensor range;  ///< [2] minus the smallest, and the largest product of these with all rows
};

/// Products are made block by block, each block always of the same rows, so that their last bits
/// depend on no number of ranks.
Nearest nearest_rows(const at::Tensor& table, const RowRange& blocks) {
  const int64_t all = table.size(0), items = all - 2;
  const int64_t first = blocks.begin * kRowsAtOnce;
  const int64_t rows = std::max<int64_t>(0, std::min(blocks.end * kRowsAtOnce, all) - first);
  Nearest result{
      at::ones({rows}, table.options().dtype(at::kLong)),
      at::zeros({rows}, table.options().dtype(at::kFloat)),
      at::full({2}, -std::numeric_limits<float>::infinity(), table.options().dtype(at::kFloat))};
  const at::Tensor ids = at::arange(all, result.best.options()).unsqueeze(0);
  const at::Tensor none = (ids == 0) | (ids == items + 1);
  for (int64_t begin = first; begin < first + rows; begin += kRowsAtOnce) {
    const int64_t count = std::min(kRowsAtOnce, all - begin);
    at::Tensor products = at::mm(table.narrow(0, begin, count), table.t()).to(at::kFloat);
    result.range = at::maximum(result.range, at::stack({-products.min(), products.max()}));
    if (items < 2) continue;
    const at::Tensor itself = at::arange(begin, begin + count, ids.options()).unsqueeze(1);
    products.masked_fill_((itself == ids) | none, -std::numeric_limits<double>::infinity());
    const auto [values, places] = products.max(1);
    result.score.narrow(0, begin - first, count).copy_(values);
    result.best.narrow(0, begin - first, count).copy_(places);
  }
  return result;
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
  online_range_ = register_buffer("online_range", at::zeros({2}, at::kFloat));
  seen_ = online();
}

std::vector<int32_t> Coserec::augmented(std::span<const int32_t> history, PhiloxKey key,
                                        int64_t user, uint32_t view) const {
  return augment(history, similar_, used_, key, user, view);
}

at::Tensor Coserec::online() const {
  const auto numbers = [](const at::Tensor& buffer) { return buffer.to(at::kCPU, at::kDouble); };
  return at::cat({numbers(online_best_), numbers(online_score_), numbers(online_range_)});
}

// A checkpoint that was loaded changes the buffers without telling.
std::vector<at::Tensor> Coserec::encode(const Phase& phase, const Batch& chunk,
                                        const StepContext& context) {
  if (online_from_ > 0) {
    at::Tensor now = online();
    if (!at::equal(now, seen_)) {
      seen_ = std::move(now);
      used_ = hybrid(counted_, neighbours_of(online_best_, online_score_, online_range_));
    }
  }
  return HistoryContrast::encode(phase, chunk, context);
}

void Coserec::after_phase(const Phase&, const Batch&, const StepContext& context) {
  if (online_from_ == 0 || !context.last_of_epoch || context.epoch + 1 < online_from_) return;
  const c10::NoGradGuard no_grad;
  const Communicator& ranks = *context.communicators.control;
  const at::Tensor table = item_table().detach();
  const int64_t all = table.size(0), blocks = (all + kRowsAtOnce - 1) / kRowsAtOnce;
  std::vector<int64_t> counts;
  for (int rank = 0; rank < ranks.size(); ++rank) {
    const RowRange share = rank_share(blocks, rank, ranks.size());
    counts.push_back(std::min(share.end * kRowsAtOnce, all) -
                     std::min(share.begin * kRowsAtOnce, all));
  }
  const Nearest nearest = nearest_rows(table, rank_share(blocks, ranks.rank(), ranks.size()));
  online_best_.copy_(ranks.all_gather(nearest.best.cpu(), counts));
  online_score_.copy_(ranks.all_gather(nearest.score.cpu(), counts));
  at::Tensor range = nearest.range.to(at::kCPU, at::kDouble);
  ranks.all_reduce_max(range);
  range[0].neg_();
  online_range_.copy_(range);
}

}  // namespace cltrain
