#include "ops/lse_chunked.h"

#include <algorithm>
#include <limits>
#include <vector>

#include <ATen/TensorIndexing.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

namespace cltrain {
namespace {

constexpr int64_t kChunkBytes = int64_t{64} << 20;

struct Rows {
  int64_t begin, count;
};

/// Chunks whose logits take kChunkBytes or less, one row at least. For several ranks: those whose
/// number belongs to the share.
std::vector<Rows> chunks(const LseProblem& problem, TileShare share = {}) {
  const int64_t rows = problem.anchors.size(0), columns = problem.candidates.size(0);
  const int64_t bytes = columns * (problem.anchors.scalar_type() == at::kDouble ? 8 : 4);
  // As many chunks as shares at least, so that each has some.
  const int64_t size =
      std::clamp<int64_t>(kChunkBytes / bytes, 1, std::max<int64_t>(1, rows / share.count));
  std::vector<Rows> found;
  for (int64_t begin = 0, number = 0; begin < rows; begin += size, ++number)
    if (number % share.count == share.index) found.push_back({begin, std::min(size, rows - begin)});
  return found;
}

// Products of bfloat16 accumulate in float32 and must stay so: the values are widened first.
at::Tensor wide(const at::Tensor& rows) {
  return rows.to(sum_type(rows));
}

/// scale * <a_i, c_j> of a chunk, -inf where the mask says so. [count, K]
at::Tensor logits(const LseProblem& problem, const at::Tensor& candidates, Rows rows, bool self) {
  const at::Tensor anchors = wide(problem.anchors.narrow(0, rows.begin, rows.count));
  at::Tensor s = at::mm(anchors, candidates.t()).mul_(problem.scale);
  const double never = -std::numeric_limits<double>::infinity();
  const at::Tensor columns = at::arange(candidates.size(0), s.options().dtype(at::kLong));
  const LseMask& mask = problem.mask;
  if (self) {
    const at::Tensor own = columns.narrow(0, rows.begin, rows.count).unsqueeze(1);
    s.masked_fill_(columns.unsqueeze(0) == own, never);
  }
  for (int64_t e = 0; mask.excluded_columns.defined() && e < mask.excluded_columns.size(1); ++e)
    s.masked_fill_(
        columns.unsqueeze(0) ==
            mask.excluded_columns.narrow(0, rows.begin, rows.count).select(1, e).unsqueeze(1),
        never);
  if (mask.labels != LseMask::Labels::kIgnored) {
    const at::Tensor equal = mask.row_labels.narrow(0, rows.begin, rows.count).unsqueeze(1) ==
                             mask.column_labels.unsqueeze(0);
    s.masked_fill_(mask.labels == LseMask::Labels::kOnlyEqual ? equal.logical_not() : equal, never);
  }
  return s;
}

at::Tensor minus_infinity(const at::Tensor& like, int64_t count) {
  return at::full({count}, -std::numeric_limits<double>::infinity(),
                  like.options().dtype(at::kDouble));
}

/// gradient_i exp(s_ij - lse_i) along `dim` (1: one LSE a row, 0: one a column).
at::Tensor weights(const at::Tensor& s, const LseAdjoint& adjoint, int64_t dim) {
  const at::Tensor lse = adjoint.lse.to(s.scalar_type()).unsqueeze(dim);
  const at::Tensor up = adjoint.gradient.to(s.scalar_type()).unsqueeze(dim);
  // -inf minus -inf is NaN: such a row has no candidate and passes nothing.
  return at::where(lse.isneginf(), at::zeros({}, s.options()), up * (s - lse).exp());
}

LseAdjoint part(const LseAdjoint& adjoint, Rows rows) {
  return {adjoint.lse.narrow(0, rows.begin, rows.count),
          adjoint.gradient.narrow(0, rows.begin, rows.count)};
}

}  // namespace

TwoWayLse lse_forward_chunked(const LseProblem& problem, LseDirections directions) {
  const at::Tensor candidates = wide(problem.candidates);
  TwoWayLse found{minus_infinity(problem.anchors, problem.anchors.size(0)), {}};
  const bool both = directions == LseDirections::kBoth;
  if (both) found.columns = minus_infinity(problem.anchors, problem.candidates.size(0));
  for (const Rows rows : chunks(problem)) {
    const at::Tensor s = logits(problem, candidates, rows, /*self=*/false);
    found.rows.narrow(0, rows.begin, rows.count).copy_(at::logsumexp(s, {1}));
    if (both) found.columns = at::logaddexp(found.columns, at::logsumexp(s, {0}).to(at::kDouble));
  }
  return found;
}

LseGradients lse_backward_chunked(const LseProblem& problem, const LseAdjoint& rows_adjoint,
                                  const LseAdjoint& columns_adjoint, bool want_anchors,
                                  bool want_candidates) {
  const at::Tensor candidates = wide(problem.candidates);
  LseGradients found;
  if (want_anchors) found.anchors = zero_gradient(problem.anchors);
  if (want_candidates) found.candidates = zero_gradient(problem.candidates);
  for (const Rows rows : chunks(problem)) {
    const at::Tensor s = logits(problem, candidates, rows, /*self=*/false);
    at::Tensor p = at::zeros_like(s);
    if (rows_adjoint.lse.defined()) p.add_(weights(s, part(rows_adjoint, rows), 1));
    if (columns_adjoint.lse.defined()) p.add_(weights(s, columns_adjoint, 0));
    p.mul_(problem.scale);
    if (want_anchors) found.anchors.narrow(0, rows.begin, rows.count).copy_(at::mm(p, candidates));
    if (want_candidates)
      found.candidates.addmm_(p.t(), wide(problem.anchors.narrow(0, rows.begin, rows.count)));
  }
  return found;
}

at::Tensor self_lse_forward_chunked(const LseProblem& problem, TileShare share) {
  const at::Tensor candidates = wide(problem.candidates);
  at::Tensor found = minus_infinity(problem.anchors, problem.anchors.size(0));
  for (const Rows rows : chunks(problem, share))
    found.narrow(0, rows.begin, rows.count)
        .copy_(at::logsumexp(logits(problem, candidates, rows, /*self=*/true), {1}));
  return found;
}

at::Tensor self_lse_backward_chunked(const LseProblem& problem, const LseAdjoint& adjoint,
                                     TileShare share) {
  const at::Tensor candidates = wide(problem.candidates);
  at::Tensor found = zero_gradient(problem.anchors);
  for (const Rows rows : chunks(problem, share)) {
    const at::Tensor s = logits(problem, candidates, rows, /*self=*/true);
    // The mask is symmetric: what row i gives to j, column i takes from it.
    const at::Tensor p =
        (weights(s, part(adjoint, rows), 1) + weights(s, adjoint, 0)).mul_(problem.scale);
    found.narrow(0, rows.begin, rows.count).copy_(at::mm(p, candidates));
  }
  return found;
}

}  // namespace cltrain
