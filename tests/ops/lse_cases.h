// Problems for the CUDA path of the loss engine, and what every implementation of its kernels must
// give for them: LibTorch's operators in float64 (ops/lse_chunked.h) say what is right.
#pragma once

#include "ops/lse_chunked.h"
#include "ops/lse_cuda.h"

#include <string>
#include <utility>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain::testing {

inline at::Tensor numbers(int64_t rows, int64_t width, double phase) {
  const at::Tensor x =
      (at::arange(rows * width, at::kDouble) * 1.7 + phase).sin().view({rows, width}) +
      0.3 *
          (at::arange(rows * width, at::kDouble).square() * 0.01 + phase).cos().view({rows, width});
  return x / x.norm(2, {1}, true);
}

inline double relative(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor difference = found.to(at::kDouble) - expected.to(at::kDouble);
  return (difference.norm() / expected.to(at::kDouble).norm().clamp_min(1e-300)).item<double>();
}

/// Equal -inf and NaN, else close.
inline bool agree(const at::Tensor& found, const at::Tensor& expected, double tolerance) {
  return at::allclose(found, expected, tolerance, tolerance, /*equal_nan=*/true);
}

/// rows x columns of a width. A scale of 20 lets logits differ by 40.
struct LseCase {
  std::string name;
  int64_t rows, columns, width;
  double scale;
  LseMask mask;
  double last_norm = 1;  ///< of the last anchor; the others have 1
  double lift = 0;       ///< added to the first number of every row: all logits large
};

inline std::vector<LseCase> masked(int64_t rows, int64_t columns, int64_t width, double scale) {
  const LseCase plain{"plain", rows, columns, width, scale, {}};
  std::vector<LseCase> all{plain};
  LseCase excluded = plain;
  excluded.name = "excluded";
  const at::Tensor ids = at::arange(rows);
  excluded.mask.excluded_columns =
      at::stack({ids, at::where(ids % 3 == 0, -1, (ids * 7 + 13) % columns)}, 1);
  all.push_back(excluded);
  for (const auto rule : {LseLabels::kOnlyEqual, LseLabels::kNeverEqual}) {
    LseCase labelled = plain;
    labelled.name = rule == LseLabels::kOnlyEqual ? "only equal" : "never equal";
    labelled.mask.labels = rule;
    labelled.mask.row_labels = at::arange(rows) % 7;
    labelled.mask.column_labels = at::arange(columns) % 5;  // labels 5 and 6 have no equal
    all.push_back(labelled);
    labelled.name += ", excluded";
    labelled.mask.excluded_columns = ids.unsqueeze(1);
    all.push_back(labelled);
  }
  return all;
}

inline at::Tensor weights_of(const at::Tensor& lse, double phase) {
  return (at::arange(lse.size(0), at::kDouble) * 0.7 + phase).cos() + 0.4;
}

inline LseMask mask_on(const LseMask& mask, at::Device device) {
  const auto there = [&](const at::Tensor& x) { return x.defined() ? x.to(device) : x; };
  return {there(mask.excluded_columns), mask.labels, there(mask.row_labels),
          there(mask.column_labels)};
}
inline LseAdjoint adjoint_on(const LseAdjoint& adjoint, at::Device device) {
  if (!adjoint.lse.defined()) return {};
  return {adjoint.lse.to(device), adjoint.gradient.to(device)};
}

/// Where the kernels are, what they may take, and how close they must come.
struct Bench {
  LseKernels& kernels;
  at::ScalarType type;
  double lse_tolerance, gradient_tolerance;
  int64_t workspace = kLseWorkspace;
  at::Device device = at::kCPU;
};

/// All directions and gradients of one problem, values of the bench's type, beside float64.
inline void expect_dense(const LseCase& each, const Bench& bench) {
  SCOPED_TRACE(::testing::Message() << each.name << ", " << each.rows << " x " << each.columns
                                    << " x " << each.width << ", scale " << each.scale << ", "
                                    << bench.type << ", workspace " << bench.workspace);
  const at::Tensor anchors = numbers(each.rows, each.width, 0.2);
  const at::Tensor candidates = numbers(each.columns, each.width, 1.3);
  anchors[each.rows - 1] *= each.last_norm;
  anchors.select(1, 0) += each.lift;
  candidates.select(1, 0) += each.lift;
  const LseProblem here{anchors.to(bench.type), candidates.to(bench.type), each.scale, each.mask};
  const LseProblem wide{here.anchors.to(at::kDouble), here.candidates.to(at::kDouble), each.scale,
                        each.mask};
  const LseProblem problem{here.anchors.to(bench.device), here.candidates.to(bench.device),
                           each.scale, mask_on(each.mask, bench.device)};
  const TwoWayLse expected = lse_forward_chunked(wide, LseDirections::kBoth);
  const TwoWayLse found =
      lse_forward_by(bench.kernels, problem, LseDirections::kBoth, false, {}, bench.workspace);
  EXPECT_TRUE(agree(found.rows.cpu(), expected.rows, bench.lse_tolerance));
  EXPECT_TRUE(agree(found.columns.cpu(), expected.columns, bench.lse_tolerance));
  const TwoWayLse one =
      lse_forward_by(bench.kernels, problem, LseDirections::kRows, false, {}, bench.workspace);
  EXPECT_TRUE(agree(one.rows.cpu(), expected.rows, bench.lse_tolerance));
  EXPECT_FALSE(one.columns.defined());
  const LseAdjoint rows{expected.rows, weights_of(expected.rows, 0)};
  const LseAdjoint columns{expected.columns, weights_of(expected.columns, 1)};
  for (const auto& [by_row, by_column] : {std::pair(rows, columns), std::pair(rows, LseAdjoint{}),
                                          std::pair(LseAdjoint{}, columns)}) {
    const LseGradients dense = lse_backward_chunked(wide, by_row, by_column, true, true);
    const LseGradients both = lse_backward_by(
        bench.kernels, problem, adjoint_on(by_row, bench.device),
        adjoint_on(by_column, bench.device), true, true, false, {}, {}, bench.workspace);
    EXPECT_EQ(both.anchors.scalar_type(), sum_type(problem.anchors));
    EXPECT_LE(relative(both.anchors.cpu(), dense.anchors), bench.gradient_tolerance);
    EXPECT_LE(relative(both.candidates.cpu(), dense.candidates), bench.gradient_tolerance);
  }
  // One side only, added to what is there.
  const LseGradients dense = lse_backward_chunked(wide, rows, columns, true, false);
  const at::Tensor into = at::ones_like(problem.anchors, sum_type(problem.anchors));
  const LseGradients added = lse_backward_by(bench.kernels, problem, adjoint_on(rows, bench.device),
                                             adjoint_on(columns, bench.device), true, false, false,
                                             {}, {into, {}}, bench.workspace);
  EXPECT_TRUE(added.anchors.is_same(into));
  EXPECT_FALSE(added.candidates.defined());
  EXPECT_LE(relative(added.anchors.cpu() - 1, dense.anchors), bench.gradient_tolerance);
}

/// Anchors that are their own candidates, in shares.
inline void expect_self(int64_t rows, int64_t width, double scale, const Bench& bench) {
  SCOPED_TRACE(::testing::Message()
               << rows << " x " << width << ", scale " << scale << ", " << bench.type);
  const at::Tensor z = numbers(rows, width, 0.6).to(bench.type);
  LseMask mask;
  mask.excluded_columns = ((at::arange(rows) + rows / 2) % (rows / 2 * 2)).unsqueeze(1);
  if (rows % 2) mask.excluded_columns[rows - 1] = -1;
  const at::Tensor there = z.to(bench.device);
  const LseProblem problem{there, there, scale, mask_on(mask, bench.device)};
  const LseProblem wide{z.to(at::kDouble), z.to(at::kDouble), scale, mask};
  const at::Tensor expected = self_lse_forward_chunked(wide, {});
  const LseAdjoint adjoint{expected, weights_of(expected, 0)};
  const at::Tensor gradient = self_lse_backward_chunked(wide, adjoint, {});
  for (const int64_t count : {1, 3}) {
    std::vector<at::Tensor> parts;
    at::Tensor sum = zero_gradient(there);
    for (int64_t index = 0; index < count; ++index) {
      const TileShare share{index, count};
      parts.push_back(
          lse_forward_by(bench.kernels, problem, LseDirections::kRows, true, share, bench.workspace)
              .rows.cpu());
      lse_backward_by(bench.kernels, problem, adjoint_on(adjoint, bench.device), {}, true, true,
                      true, share, {sum, {}}, bench.workspace);
    }
    EXPECT_TRUE(agree(combine_lse(at::stack(parts)), expected, bench.lse_tolerance));
    EXPECT_LE(relative(sum.cpu(), gradient), bench.gradient_tolerance);
  }
}

}  // namespace cltrain::testing
