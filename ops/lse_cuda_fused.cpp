// Launches of the fused kernels: chunks of rows that the workspace bounds, and columns split over
// blocks where there are too few rows to fill a GPU.
#include "ops/lse_cuda_pass.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>

namespace cltrain {
namespace {

// About two blocks a multiprocessor of the largest Hopper GPU; a number of its own, so that sums
// are cut alike on all of them.
constexpr int64_t kBlocks = 264;

/// Parts of the columns, so that row blocks times parts fill the GPU: at most one a tile.
int splits_of(int64_t rows, int64_t columns, int64_t tile_columns, int64_t most) {
  const int64_t wanted = parts_of(kBlocks, parts_of(rows, kFusedRows));
  return static_cast<int>(std::clamp<int64_t>(
      wanted, 1, std::max<int64_t>(1, std::min(most, parts_of(columns, tile_columns)))));
}

/// Rows of a chunk, whole blocks of them.
int64_t whole_blocks(int64_t rows, int64_t bytes, int64_t workspace) {
  const int64_t fit = chunk_rows(rows, bytes, workspace) / kFusedRows * kFusedRows;
  return std::max<int64_t>(kFusedRows, fit);
}

double largest_norm(const at::Tensor& rows) {
  return at::linalg_vector_norm(rows, 2, at::IntArrayRef{1}, false, at::kFloat)
      .max()
      .item<double>();
}

/// No product exceeds it in size, to base 2; not finite if a value is not.
double bound_of(const LsePass& pass) {
  const double norm = largest_norm(pass.problem.anchors);
  const double other = pass.self ? norm : largest_norm(pass.problem.candidates);
  return pass.problem.scale * norm * other * std::numbers::log2e;
}

LseTileProblem tile_problem(const LsePass& pass, double bound, int64_t begin, int64_t rows) {
  return {static_cast<int>(rows),   static_cast<int>(pass.columns()),
          pass.mask().from(begin),  Base2Scale<float>(pass.problem.scale),
          2 * bound < kSharedRange, static_cast<float>(bound)};
}

FusedOperands operands_of(const LsePass& pass, int64_t begin) {
  return {pass.problem.anchors.narrow(0, begin, 1).const_data_ptr(),
          pass.problem.candidates.const_data_ptr(), static_cast<int>(pass.width())};
}

/// The pass with the roles exchanged: column j sees row i where row i sees column j. Excluded
/// columns are lists by row and cannot be turned.
LsePass exchanged(const LsePass& pass) {
  LsePass other = pass;
  std::swap(other.problem.anchors, other.problem.candidates);
  std::swap(other.problem.mask.row_labels, other.problem.mask.column_labels);
  other.begin = 0;
  other.end = other.rows();
  return other;
}

struct Factors {
  at::Tensor rows, columns;  // of columns: undefined if they bring none
};

/// Adds the gradient with respect to the pass's anchors, by the kernel that keeps it in registers.
void add_gradient(const LsePass& pass, double bound, const Factors& factors,
                  const at::Tensor& into) {
  const int64_t rows = pass.end - pass.begin, bytes = pass.width() * 4;
  if (rows == 0) return;
  const int64_t tile = pass.width() <= 128 ? 128 : 64;
  const int64_t size = std::min(rows, whole_blocks(rows, bytes, pass.workspace));
  const int splits = splits_of(size, pass.columns(), tile, pass.workspace / (size * bytes));
  const at::Tensor parts = pass.room({splits * size * pass.width()}, at::kFloat);
  for (int64_t begin = pass.begin; begin < pass.end; begin += size) {
    const int64_t count = std::min(size, pass.end - begin);
    pass.kernels.fused_gradient(
        operands_of(pass, begin), tile_problem(pass, bound, begin, count), splits,
        {as<LseFactor<float>>(factors.rows) + begin,
         factors.columns.defined() ? as<LseFactor<float>>(factors.columns) : nullptr},
        parts.mutable_data_ptr<float>());
    const at::Tensor found =
        parts.narrow(0, 0, splits * count * pass.width()).view({splits, count, pass.width()});
    at::Tensor sum = into.narrow(0, begin, count);
    for (int split = 0; split < splits; ++split) sum.add_(found.select(0, split));
  }
}

/// Both gradients from weights in memory.
void add_by_weights(const LsePass& pass, double bound, const Factors& factors,
                    const LseGradients& into) {
  const int64_t stride = parts_of(pass.columns(), 8) * 8, rows = pass.end - pass.begin;
  if (rows == 0) return;
  const int64_t size = std::min(rows, whole_blocks(rows, 2 * stride, pass.workspace));
  const at::Tensor weights = pass.room({size, stride}, at::kBFloat16);
  for (int64_t begin = pass.begin; begin < pass.end; begin += size) {
    const int64_t count = std::min(size, pass.end - begin);
    const FusedOperands operands = operands_of(pass, begin);
    pass.kernels.fused_weights(
        operands, tile_problem(pass, bound, begin, count),
        splits_of(count, pass.columns(), kFusedColumns, kBlocks),
        {as<LseFactor<float>>(factors.rows) + begin,
         factors.columns.defined() ? as<LseFactor<float>>(factors.columns) : nullptr},
        as<uint16_t>(weights), stride);
    if (into.anchors.defined())
      add_product(pass, weights.data_ptr(), stride, count, pass.columns(), /*transposed=*/false,
                  operands.candidates, into.anchors.narrow(0, begin, count).data_ptr());
    if (into.candidates.defined())
      add_product(pass, weights.data_ptr(), stride, count, pass.columns(), /*transposed=*/true,
                  operands.anchors, into.candidates.data_ptr());
  }
}

void fill_with_nan(const at::Tensor& tensor) {
  if (tensor.defined()) tensor.fill_(std::numeric_limits<double>::quiet_NaN());
}

}  // namespace

bool can_fuse(const LsePass& pass) {
  const auto aligned = [](const at::Tensor& rows) {
    return reinterpret_cast<uintptr_t>(rows.const_data_ptr()) % 16 == 0;
  };
  return pass.element() == LseElement::kBFloat16 && pass.width() % 8 == 0 &&
         aligned(pass.problem.anchors) && aligned(pass.problem.candidates) &&
         pass.kernels.has_fused();
}

TwoWayLse fused_forward(const LsePass& pass, LseDirections directions) {
  const bool both = directions == LseDirections::kBoth;
  const at::Tensor rows = pass.no_sums(pass.rows());
  const at::Tensor columns = both ? pass.no_sums(pass.columns()) : at::Tensor();
  const double bound = bound_of(pass);
  if (!std::isfinite(bound)) {
    fill_with_nan(rows);
    fill_with_nan(columns);
    return {pass.logs(rows), both ? pass.logs(columns) : at::Tensor()};
  }
  // A sum of 8 bytes for every column and 64 rows.
  const int64_t share = pass.end - pass.begin;
  const int64_t size =
      both ? whole_blocks(share, parts_of(pass.columns() * 8, 64), pass.workspace) : share;
  for (int64_t begin = pass.begin; begin < pass.end; begin += size) {
    const int64_t count = std::min(size, pass.end - begin), groups = parts_of(count, 64);
    const int splits = splits_of(count, pass.columns(), kFusedColumns, kBlocks);
    const at::Tensor row_parts = pass.room({splits, count, 2}, at::kDouble);
    const at::Tensor column_parts =
        both ? pass.room({groups, pass.columns(), 2}, at::kFloat) : at::Tensor();
    pass.kernels.fused_sums(
        operands_of(pass, begin), tile_problem(pass, bound, begin, count), splits,
        {as<LseSum<double>>(row_parts), both ? as<LseSum<float>>(column_parts) : nullptr});
    pass.kernels.merge(as<LseSum<double>>(row_parts), splits, count,
                       as<LseSum<double>>(rows) + begin);
    if (both)
      pass.kernels.merge(as<LseSum<float>>(column_parts), groups, pass.columns(),
                         as<LseSum<double>>(columns));
  }
  return {pass.logs(rows), both ? pass.logs(columns) : at::Tensor()};
}

void fused_backward(const LsePass& pass, const LseAdjoint& rows, const LseAdjoint& columns,
                    const LseGradients& into) {
  const double bound = bound_of(pass);
  if (!std::isfinite(bound)) {
    fill_with_nan(into.anchors);
    fill_with_nan(into.candidates);
    return;
  }
  const bool shared = 2 * bound < kSharedRange;
  const bool by_weights = pass.width() > kFusedGradient ||
                          (into.candidates.defined() && pass.mask().excluded_count > 0);
  const bool two_sided = into.candidates.defined() && !by_weights;
  const Factors factors{factors_of<float>(pass, rows, pass.rows(), true, shared, bound),
                        factors_of<float>(pass, columns, pass.columns(), two_sided, shared, bound)};
  if (by_weights) return add_by_weights(pass, bound, factors, into);
  const bool has_rows = rows.lse.defined(), has_columns = columns.lse.defined();
  if (into.anchors.defined())
    add_gradient(pass, bound, {factors.rows, has_columns ? factors.columns : at::Tensor()},
                 into.anchors);
  if (into.candidates.defined())
    add_gradient(exchanged(pass), bound, {factors.columns, has_rows ? factors.rows : at::Tensor()},
                 into.candidates);
}

}  // namespace cltrain
