// How rows of all ranks meet: what the losses over all ranks (dist/global_lse.h) share.
#pragma once

#include "dist/communicator.h"
#include "ops/lse.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
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
  bool cuda_kernels = false;  ///< LseProblem::cuda_kernels

  int64_t total() const;
  /// Global number of rank's first row.
  int64_t first(int rank) const;
  int64_t first() const { return first(communicator.rank()); }
};

/// Hears "gather" when the exchange begins and "loss" when the tiles do; a ring, which does both at
/// a time, says "loss".
using Enter = std::function<void(const char*)>;

// --- for dist/global_*.cpp ----------------------------------------------------------------------

/// Throws on every rank unless z is [rows[rank], D] with the same D and type everywhere, and scale
/// is above 0. Before anything travels: sizes that differ would end in a hang or in nonsense inside
/// the collective. One small all-gather.
void check_exchange(const at::Tensor& z, const at::Tensor& scale, const GlobalRows& where);

/// Throws for kBalanced: for losses that compare two different sets of embeddings.
void refuse_balanced(Exchange exchange);

/// z as it travels and is multiplied.
at::Tensor compute_type(const at::Tensor& z, const GlobalRows& where);

/// All rows; undefined where they come by in a ring. Collective.
at::Tensor gathered(const at::Tensor& local, const GlobalRows& where);

/// Calls visit(block, number of its first row) for rows of every rank: `all` at once if that is
/// defined, else block by block round the ring, this rank's first; the next block travels while one
/// is visited. Collective.
void visit_rows(const at::Tensor& local, const at::Tensor& all, const GlobalRows& where,
                const std::function<void(const at::Tensor& block, int64_t first)>& visit);

/// Columns [rows[rank]] each of every rank -> [n, columns]. Collective.
at::Tensor gather_columns(const std::vector<at::Tensor>& columns, const GlobalRows& where);

/// LSE and gradient from two neighbouring columns of such a table.
LseAdjoint adjoint_of(const at::Tensor& table, int64_t first_column, int64_t begin, int64_t count);

/// gradient -= scale up_i y_i by rows: what a loss that subtracts scale <x_i, y_i> adds to the
/// gradient with respect to x. gradient [n, D], y [n, D] of any type, up [n].
void subtract_positives(const at::Tensor& gradient, const at::Tensor& y, const at::Tensor& up,
                        double scale);

/// Parts with the number of their first row, in the order of the rows whatever order they came in.
template <class Part>
std::vector<Part> in_row_order(std::vector<std::pair<int64_t, Part>> parts) {
  std::stable_sort(parts.begin(), parts.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Part> ordered;
  for (auto& [first, part] : parts) ordered.push_back(std::move(part));
  return ordered;
}

}  // namespace cltrain
