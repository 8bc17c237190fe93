// Sequences as tokens. Items come as [B, L] rows that end at slot L - 1 and are filled with padding
// (id 0) at the front; most slots are padding, so networks work on [T, d] tokens: of each row the
// slots [start, L), one row after the other.
//
//   ragged   start = the row's first item; a row without any keeps all its slots
//   whole    start = 0: every slot, for those who read what the network says of padding
//
// Id 0 inside a row (a masked item) is padding that has a token in both forms. A token's slot is
// its position, so the two forms are the same numbers where both have a token. Called by encoders
// and methods, on each rank for its own rows. Pure, thread-safe; B = 0 is fine.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace cltrain {

struct TokenRows {
  at::Tensor ids;          ///< [T] int64: the item in the token's slot, 0 where it is padding
  at::Tensor slots;        ///< [T] int64, in [0, length)
  at::Tensor places;       ///< [T] int64: row * length + slot, ascending
  at::Tensor row_offsets;  ///< [B + 1] int64 on the CPU: row b has tokens [b], .., [b + 1] - 1
  int64_t length;          ///< L

  int64_t rows() const { return row_offsets.size(0) - 1; }
  int64_t tokens() const { return ids.size(0); }
  /// Whether every slot has a token: the padded form is then a view.
  bool whole() const { return tokens() == rows() * length; }
};

/// items [B, L] int64 on any device, L > 0; ids, slots and places are on the same one.
TokenRows ragged_rows(const at::Tensor& items);
TokenRows whole_rows(const at::Tensor& items);

/// tokens [T, d] -> [B, d], the last slot of each row. Differentiable, as are all below.
at::Tensor last_of_rows(const at::Tensor& tokens, const TokenRows& rows);
/// tokens [T, d] -> [B, L, d], zeros in slots without a token.
at::Tensor to_padded(const at::Tensor& tokens, const TokenRows& rows);
/// tokens [T, d] -> [B, d], the mean over the slots from the row's first item on (over all L of a
/// row without items): the same for ragged and whole rows.
at::Tensor mean_of_rows(const at::Tensor& tokens, const TokenRows& rows);

}  // namespace cltrain
