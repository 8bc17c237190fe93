#include "ops/token_rows.h"

#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

// The slot of the first item, 0 where there is none.
int64_t first_item(const int64_t* items, int64_t length) {
  for (int64_t slot = 0; slot < length; ++slot)
    if (items[slot] != 0) return slot;
  return 0;
}

TokenRows rows_of(const at::Tensor& items, bool ragged) {
  TORCH_CHECK(items.dim() == 2 && items.scalar_type() == at::kLong && items.size(1) > 0,
              "token rows: items are int64 [B, L] with L > 0; received ", items.scalar_type(), " ",
              items.sizes());
  const at::Tensor local = items.cpu().contiguous();
  const int64_t rows = local.size(0), length = local.size(1);
  const auto* item = local.const_data_ptr<int64_t>();
  TokenRows made{.row_offsets = at::empty({rows + 1}, at::kLong), .length = length};
  auto* offset = made.row_offsets.mutable_data_ptr<int64_t>();
  offset[0] = 0;
  for (int64_t row = 0; row < rows; ++row)
    offset[row + 1] = offset[row] + length - (ragged ? first_item(item + row * length, length) : 0);
  made.ids = at::empty({offset[rows]}, at::kLong);
  made.slots = at::empty({offset[rows]}, at::kLong);
  made.places = at::empty({offset[rows]}, at::kLong);
  auto *id = made.ids.mutable_data_ptr<int64_t>(), *slot = made.slots.mutable_data_ptr<int64_t>(),
       *place = made.places.mutable_data_ptr<int64_t>();
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t token = offset[row]; token < offset[row + 1]; ++token) {
      slot[token] = length - (offset[row + 1] - token);
      place[token] = row * length + slot[token];
      id[token] = item[place[token]];
      TORCH_CHECK(id[token] >= 0, "token rows: item ", id[token], " in row ", row, ", slot ",
                  slot[token], "; allowed: 0 (padding) and above");
    }
  made.ids = made.ids.to(items.device());
  made.slots = made.slots.to(items.device());
  made.places = made.places.to(items.device());
  return made;
}

void check_tokens(const at::Tensor& tokens, const TokenRows& rows) {
  TORCH_CHECK(tokens.dim() == 2 && tokens.size(0) == rows.tokens(), "token rows: tokens are [",
              rows.tokens(), ", d]; received ", tokens.sizes());
}

}  // namespace

TokenRows ragged_rows(const at::Tensor& items) {
  return rows_of(items, true);
}

TokenRows whole_rows(const at::Tensor& items) {
  return rows_of(items, false);
}

at::Tensor last_of_rows(const at::Tensor& tokens, const TokenRows& rows) {
  check_tokens(tokens, rows);
  const at::Tensor last = rows.row_offsets.slice(0, 1) - 1;
  return tokens.index_select(0, last.to(tokens.device()));
}

at::Tensor to_padded(const at::Tensor& tokens, const TokenRows& rows) {
  check_tokens(tokens, rows);
  const int64_t width = tokens.size(1);
  if (rows.whole()) return tokens.reshape({rows.rows(), rows.length, width});
  return at::zeros({rows.rows() * rows.length, width}, tokens.options())
      .index_copy(0, rows.places, tokens)
      .view({rows.rows(), rows.length, width});
}

at::Tensor mean_of_rows(const at::Tensor& tokens, const TokenRows& rows) {
  check_tokens(tokens, rows);
  const at::Tensor ids = rows.ids.cpu();
  const auto *id = ids.const_data_ptr<int64_t>(),
             *offset = rows.row_offsets.const_data_ptr<int64_t>();
  at::Tensor share = at::zeros({rows.tokens(), 1}, at::kDouble);
  auto* out = share.mutable_data_ptr<double>();
  for (int64_t row = 0; row < rows.rows(); ++row) {
    const int64_t count = offset[row + 1] - offset[row];
    const int64_t first = first_item(id + offset[row], count);
    for (int64_t i = first; i < count; ++i)
      out[offset[row] + i] = 1 / static_cast<double>(count - first);
  }
  return to_padded(tokens * share.to(tokens.options()), rows).sum(1);
}

}  // namespace cltrain
