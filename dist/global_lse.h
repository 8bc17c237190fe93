// Log-sum-exp over the rows of all ranks, with gradients, and how the rows travel for it.
//
//   gather    every rank holds all rows for a while: one all-gather forward. The backward pass
//   moves
//             two numbers a row, no gradient: each rank computes the gradient of the *total* loss
//             with respect to its own rows, because the softmax of every other row follows from
//             that row's LSE.
//   balanced  as gather, but the tiles above the diagonal are dealt out over the ranks: two thirds
//             of the arithmetic, for an all-gather of partial LSEs and a reduce-scatter of
//             gradients.
//   ring      blocks of rows travel round the ranks, once forward and once backward, while tiles
//   are
//             computed: a rank never holds more than three blocks.
// All three give the same values and gradients, to rounding. On one rank nothing travels and all
// three make the same tiles. docs/design.md, section 4, counts operations and bytes.
//
// Collective in forward and in backward: every rank calls, one without rows too, and
// back-propagates a loss that uses the result; the upstream gradient may differ by row and by rank.
// Results, types and precision as in ops/lse.h.
#pragma once

#include "dist/communicator.h"
#include "ops/lse.h"

#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

enum class Exchange { kGather, kBalanced, kRing };

/// "gather", "balanced", "ring"; throws std::invalid_argument for another name.
Exchange exchange_named(const std::string& name);

/// Where the rows of a global matrix are, rank r holds rows[r] of them, in rank order; and how they
/// travel.
struct GlobalRows {
  std::vector<int64_t> rows;
  const Communicator& communicator;
  Exchange exchange = Exchange::kGather;
  /// Rows travel and are multiplied in bfloat16; gradients come back in their own type.
  bool bfloat16 = false;

  int64_t total() const;
  /// Global number of rank's first row.
  int64_t first(int rank) const;
  int64_t first() const { return first(communicator.rank()); }
};

/// Hears "gather" when the exchange begins and "loss" when the tiles do; a ring, which does both at
/// a time, says "loss".
using Enter = std::function<void(const char*)>;

/// z [rows[rank], D], scale a scalar tensor -> [rows[rank]] float64: the LSE of this rank's rows
/// over the rows of all ranks, each without itself and without excluded_columns [rows[rank], 1]
/// (global row numbers, symmetric; undefined: none).
at::Tensor global_self_lse(
    const at::Tensor& z, const at::Tensor& scale, const at::Tensor& excluded_columns,
    const GlobalRows& where, const Enter& enter = [](const char*) {});

/// scale <x_i, y_i> of this rank's pairs, [rows[rank]] float64, of the same rounded rows as the
/// LSEs.
at::Tensor pair_logits(const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale,
                       bool bfloat16);

/// x, y [rows[rank], D] -> LSEs [rows[rank]] of this rank's x over all y (rows), and of its y over
/// all x (columns). kBalanced is refused.
TwoWayLse global_two_way_lse(
    const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale, const GlobalRows& where,
    const Enter& enter = [](const char*) {});

}  // namespace cltrain
