// The CUDA kernels of the loss engine without a GPU: their arithmetic beside formulas, and their
// per-thread code, driven by the very driver of the CUDA path (ops/lse_cuda.cpp) with fibers for
// threads, beside LibTorch's operators in float64 (ops/lse_chunked.cpp).
#include "ops/lse_chunked.h"
#include "ops/lse_cuda.h"
#include "tests/ops/emulated_kernels.h"
#include "tests/support/error_text.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(LseKernelMath, ASumIsItsFormulaWhateverTheOrder) {
  const std::vector<float> s{-3, 900, 2, 899.5, -1e4F, 900, 12};
  for (const double scale : {0.5, 20.0, 300.0}) {
    LseSum<float> up, down;
    LseSum<double> parts;
    double expected = -kInfinity;
    for (size_t i = 0; i < s.size(); ++i) {
      up.add_product(s[i], Base2Scale<float>(scale));
      down.add_product(s[s.size() - 1 - i], Base2Scale<float>(scale));
      LseSum<float> one;
      one.add_product(s[i], Base2Scale<float>(scale));
      parts.add(one);
      const double x = static_cast<double>(s[i]) * scale, high = std::max(x, expected);
      expected = high + std::log(std::exp(x - high) + std::exp(expected - high));
    }
    EXPECT_NEAR(up.log() / expected, 1, 1e-6);
    EXPECT_NEAR(down.log() / expected, 1, 1e-6);
    EXPECT_NEAR(parts.log() / expected, 1, 1e-6);
  }
  EXPECT_EQ(LseSum<double>().log(), -kInfinity);
  LseSum<float> poisoned;
  poisoned.add_product(1, Base2Scale<float>(1));
  poisoned.add_product(std::nanf(""), Base2Scale<float>(1));
  poisoned.add_product(2, Base2Scale<float>(1));
  EXPECT_TRUE(std::isnan(poisoned.log()));
}

TEST(LseKernelMath, AWeightIsTheGradientTimesTheSoftmax) {
  const double scale = 20, row_lse = 31.7, column_lse = 12.5, row_up = 0.3, column_up = -2;
  const Base2Scale<float> base2(scale);
  for (const float s : {-1.0F, 0.1F, 0.9F}) {
    const double by_row = row_up * scale * std::exp(s * scale - row_lse);
    const double by_column = column_up * scale * std::exp(s * scale - column_lse);
    for (const bool shared : {false, true}) {
      const auto row = factor_of<float>(row_lse, row_up, scale, shared, 28.9);
      const auto column = factor_of<float>(column_lse, column_up, scale, shared, 28.9);
      EXPECT_NEAR(weight_of(s, base2, row, &column, shared) / (by_row + by_column), 1, 1e-5);
    }
    const auto alone = factor_of<float>(row_lse, row_up, scale, false, 0);
    EXPECT_NEAR(weight_of<float>(s, base2, alone, nullptr, false) / by_row, 1, 1e-5);
  }
  const auto nothing = factor_of<float>(-kInfinity, 3, scale, false, 0);
  EXPECT_EQ(weight_of<float>(0.5F, base2, nothing, &nothing, false), 0);
  // Large logits: what rounding takes from the reference is in the factor.
  const auto large = factor_of<float>(1e5 + 0.003, 1, 1, false, 0);
  EXPECT_NEAR(weight_of<float>(1e5F, Base2Scale<float>(1), large, nullptr, false), std::exp(-0.003),
              1e-5);
}

TEST(LseKernelMath, RowRulesAreTheMask) {
  const std::vector<int64_t> excluded{3, -1, int64_t{1} << 40, 0, 5, 4};
  const std::vector<int64_t> row_labels{7, 8, 9}, column_labels{7, 8, 9, 7, 8, 9};
  LseMaskView mask{.excluded = excluded.data(), .excluded_count = 2};
  const auto seen = [&](int row) {
    std::string text;
    for (int column = 0; column < 6; ++column)
      text += allows(mask, row_rule(mask, row, 3), column) ? '1' : '0';
    return text;
  };
  EXPECT_EQ(seen(0), "111011");
  EXPECT_EQ(seen(1), "011111");
  EXPECT_EQ(seen(2), "111100");
  mask.self = true;
  mask.first_row = 1;
  EXPECT_EQ(seen(0), "101011");
  mask.labels = LseLabels::kOnlyEqual;
  mask.row_labels = row_labels.data();
  mask.column_labels = column_labels.data();
  EXPECT_EQ(seen(0), "100000");
  EXPECT_EQ(seen(1), "010010");
  mask.labels = LseLabels::kNeverEqual;
  EXPECT_EQ(seen(2), "110000");
  EXPECT_FALSE(row_rule(mask, 3, 3).exists);
  const LseMaskView later = mask.from(2);
  EXPECT_EQ(row_rule(later, 0, 1).hidden[0], 3);
  EXPECT_EQ(row_rule(later, 0, 1).hidden[1], 5);
  EXPECT_EQ(row_rule(later, 0, 1).label, 9);
}

TEST(LseKernelMath, SpansAndChunksCoverEverythingOnce) {
  for (const int tiles : {1, 2, 7, 264, 1000})
    for (int parts = 1; parts <= std::min(tiles, 300); ++parts) {
      int next = 0;
      for (int part = 0; part < parts; ++part) {
        const LseSpan span = span_of(part, parts, tiles);
        ASSERT_EQ(span.begin, next);
        ASSERT_GT(span.end, span.begin);
        next = span.end;
      }
      ASSERT_EQ(next, tiles);
    }
  EXPECT_EQ(chunk_rows(100, 10, 55), 5);
  EXPECT_EQ(chunk_rows(100, 10, 5), 1);
  EXPECT_EQ(chunk_rows(100, 10, 5000), 100);
}

TEST(LseKernelMath, RoundsToBfloat16AsLibTorch) {
  for (uint32_t i = 0; i < 200000; ++i) {
    const uint32_t bits = i * 21473U;
    float value;
    std::memcpy(&value, &bits, 4);
    if (std::isnan(value)) continue;
    ASSERT_EQ(bfloat16_bits(value), c10::BFloat16(value).x) << value;
  }
  EXPECT_EQ(bfloat16_bits(std::nanf("")) & 0x7fc0, 0x7fc0);
}

template <int kColumns>
void expect_fragment_covers_the_tile() {
  using F = Fragment<kColumns>;
  std::vector<int> met(64 * kColumns, 0), registers(F::kValues, 0);
  for (int thread = 0; thread < 128; ++thread)
    for (int c = 0; c < F::kEach; ++c)
      for (int half = 0; half < 2; ++half) {
        ++met[F::row(thread, half) * kColumns + F::column(thread, c)];
        ++registers[F::value(half, c)];
      }
  EXPECT_EQ(std::count(met.begin(), met.end(), 1), 64 * kColumns);
  EXPECT_EQ(std::count(registers.begin(), registers.end(), 128), F::kValues);
}

TEST(LseKernelMath, AFragmentCoversItsTileOnce) {
  expect_fragment_covers_the_tile<64>();
  expect_fragment_covers_the_tile<128>();
  expect_fragment_covers_the_tile<256>();
}

#ifdef CLTRAIN_FUSED
TEST(LseKernelMath, FragmentsAreThoseOfTheInstructions) {
  EXPECT_TRUE(fused_fragments_agree());
}
#endif

// --- whole passes ----------------------------------------------------------------------------

at::Tensor numbers(int64_t rows, int64_t width, double phase) {
  const at::Tensor x =
      (at::arange(rows * width, at::kDouble) * 1.7 + phase).sin().view({rows, width}) +
      0.3 *
          (at::arange(rows * width, at::kDouble).square() * 0.01 + phase).cos().view({rows, width});
  return x / x.norm(2, {1}, true);
}

double relative(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor difference = found.to(at::kDouble) - expected.to(at::kDouble);
  return (difference.norm() / expected.to(at::kDouble).norm().clamp_min(1e-300)).item<double>();
}

/// Equal -inf and NaN, else close.
bool agree(const at::Tensor& found, const at::Tensor& expected, double tolerance) {
  return at::allclose(found, expected, tolerance, tolerance, /*equal_nan=*/true);
}

struct Case {
  std::string name;
  int64_t rows, columns, width;
  double scale;
  LseMask mask;
};

std::vector<Case> masked(int64_t rows, int64_t columns, int64_t width, double scale) {
  const Case plain{"plain", rows, columns, width, scale, {}};
  std::vector<Case> all{plain};
  Case excluded = plain;
  excluded.name = "excluded";
  const at::Tensor ids = at::arange(rows);
  excluded.mask.excluded_columns =
      at::stack({ids, at::where(ids % 3 == 0, -1, (ids * 7 + 13) % columns)}, 1);
  all.push_back(excluded);
  for (const auto rule : {LseLabels::kOnlyEqual, LseLabels::kNeverEqual}) {
    Case labelled = plain;
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

at::Tensor weights_of(const at::Tensor& lse, double phase) {
  return (at::arange(lse.size(0), at::kDouble) * 0.7 + phase).cos() + 0.4;
}

struct Tolerance {
  double lse, gradient;
};

/// All directions and gradients of one problem, values of `type`, beside float64.
void expect_dense(EmulatedKernels& kernels, const Case& each, at::ScalarType type,
                  int64_t workspace, Tolerance tolerance) {
  SCOPED_TRACE(::testing::Message()
               << each.name << ", " << each.rows << " x " << each.columns << " x " << each.width
               << ", scale " << each.scale << ", " << type << ", workspace " << workspace);
  const LseProblem problem{numbers(each.rows, each.width, 0.2).to(type),
                           numbers(each.columns, each.width, 1.3).to(type), each.scale, each.mask};
  LseProblem wide = problem;
  wide.anchors = problem.anchors.to(at::kDouble);
  wide.candidates = problem.candidates.to(at::kDouble);
  const TwoWayLse expected = lse_forward_chunked(wide, LseDirections::kBoth);
  const TwoWayLse found =
      lse_forward_by(kernels, problem, LseDirections::kBoth, false, {}, workspace);
  EXPECT_TRUE(agree(found.rows, expected.rows, tolerance.lse));
  EXPECT_TRUE(agree(found.columns, expected.columns, tolerance.lse));
  const TwoWayLse one =
      lse_forward_by(kernels, problem, LseDirections::kRows, false, {}, workspace);
  EXPECT_TRUE(agree(one.rows, expected.rows, tolerance.lse));
  EXPECT_FALSE(one.columns.defined());
  const LseAdjoint rows{expected.rows, weights_of(expected.rows, 0)};
  const LseAdjoint columns{expected.columns, weights_of(expected.columns, 1)};
  for (const auto& [by_row, by_column] : {std::pair(rows, columns), std::pair(rows, LseAdjoint{}),
                                          std::pair(LseAdjoint{}, columns)}) {
    const LseGradients dense = lse_backward_chunked(wide, by_row, by_column, true, true);
    const LseGradients both =
        lse_backward_by(kernels, problem, by_row, by_column, true, true, false, {}, {}, workspace);
    EXPECT_EQ(both.anchors.scalar_type(), sum_type(problem.anchors));
    EXPECT_LE(relative(both.anchors, dense.anchors), tolerance.gradient);
    EXPECT_LE(relative(both.candidates, dense.candidates), tolerance.gradient);
  }
  // One side only, added to what is there.
  const LseGradients dense = lse_backward_chunked(wide, rows, columns, true, false);
  const at::Tensor into = at::ones_like(problem.anchors, sum_type(problem.anchors));
  const LseGradients added = lse_backward_by(kernels, problem, rows, columns, true, false, false,
                                             {}, {into, {}}, workspace);
  EXPECT_TRUE(added.anchors.is_same(into));
  EXPECT_FALSE(added.candidates.defined());
  EXPECT_LE(relative(added.anchors - 1, dense.anchors), tolerance.gradient);
}

/// Anchors that are their own candidates, in shares.
void expect_self(EmulatedKernels& kernels, int64_t rows, int64_t width, double scale,
                 at::ScalarType type, int64_t workspace, Tolerance tolerance) {
  SCOPED_TRACE(::testing::Message()
               << rows << " x " << width << ", scale " << scale << ", " << type);
  const at::Tensor z = numbers(rows, width, 0.6).to(type);
  LseMask mask;
  mask.excluded_columns = ((at::arange(rows) + rows / 2) % (rows / 2 * 2)).unsqueeze(1);
  if (rows % 2) mask.excluded_columns[rows - 1] = -1;
  const LseProblem problem{z, z, scale, mask};
  const LseProblem wide{z.to(at::kDouble), z.to(at::kDouble), scale, mask};
  const at::Tensor expected = self_lse_forward_chunked(wide, {});
  const LseAdjoint adjoint{expected, weights_of(expected, 0)};
  const at::Tensor gradient = self_lse_backward_chunked(wide, adjoint, {});
  for (const int64_t count : {1, 3}) {
    std::vector<at::Tensor> parts;
    at::Tensor sum = zero_gradient(z);
    for (int64_t index = 0; index < count; ++index) {
      const TileShare share{index, count};
      parts.push_back(
          lse_forward_by(kernels, problem, LseDirections::kRows, true, share, workspace).rows);
      lse_backward_by(kernels, problem, adjoint, {}, true, true, true, share, {sum, {}}, workspace);
    }
    EXPECT_TRUE(agree(combine_lse(at::stack(parts)), expected, tolerance.lse));
    EXPECT_LE(relative(sum, gradient), tolerance.gradient);
  }
}

constexpr int64_t kTiny = 1;  // a chunk of one row, or of one block

TEST(LsePortableKernels, AreTheDenseFormula) {
  EmulatedKernels kernels(/*fused=*/false);
  for (const Case& each : masked(20, 270, 5, 20))
    expect_dense(kernels, each, at::kDouble, kLseWorkspace, {1e-13, 1e-13});
  for (const Case& each : masked(15, 23, 5, 100)) {
    expect_dense(kernels, each, at::kFloat, 23 * 4 * 7, {1e-5, 1e-5});
    expect_dense(kernels, each, at::kBFloat16, 23 * 6 * 4, {1e-5, 1e-2});
  }
  expect_dense(kernels, {"chunks of a row", 7, 300, 3, 5, {}}, at::kFloat, kTiny, {1e-5, 1e-5});
  expect_dense(kernels, {"sums of columns in parts", 270, 3, 3, 5, {}}, at::kFloat, kLseWorkspace,
               {1e-5, 1e-5});
  expect_dense(kernels, {"two blocks of weights", 3, 1030, 2, 5, {}}, at::kFloat, kLseWorkspace,
               {1e-5, 1e-5});
  expect_self(kernels, 41, 6, 9, at::kDouble, 41 * 8 * 5, {1e-13, 1e-13});
  EXPECT_GT(kernels.products, 0);
}

// A reference that serves a whole problem, a tile, or one row or column.
TEST(LseFusedKernels, AreTheDenseFormulaWithEveryKindOfReference) {
  EmulatedKernels kernels(/*fused=*/true);
  const at::Tensor cosines = at::mm(numbers(70, 8, 0.2), numbers(270, 8, 1.3).t());
  const double span = (cosines.max() - cosines.min()).item<double>();
  for (const Case& each : masked(70, 270, 8, 5))
    expect_dense(kernels, each, at::kBFloat16, kLseWorkspace, {2e-6, 1e-2});
  EXPECT_TRUE(2 * 41 > 80 && span * 41 < 80) << span;
  EXPECT_GT(span * 300, 80);
  for (const double scale : {41.0, 300.0}) {
    const std::vector<Case> all = masked(70, 270, 8, scale);
    expect_dense(kernels, all.front(), at::kBFloat16, kLseWorkspace, {2e-6, 1e-2});
    expect_dense(kernels, all.at(2), at::kBFloat16, kLseWorkspace, {2e-6, 1e-2});
  }
  EXPECT_GT(kernels.weight_tiles, 0) << "candidates under excluded columns";
}

TEST(LseFusedKernels, AreTheDenseFormulaOverSeveralBlocksAndWidths) {
  EmulatedKernels kernels(/*fused=*/true);
  expect_dense(kernels, {"several blocks", 200, 130, 72, 10, {}}, at::kBFloat16, kTiny,
               {2e-6, 1e-2});
  expect_dense(kernels, {"widest in registers", 20, 70, 200, 10, {}}, at::kBFloat16, kLseWorkspace,
               {2e-6, 1e-2});
  EXPECT_EQ(kernels.products, 0);
}

TEST(LseFusedKernels, WideEmbeddingsTakeWeightsInMemory) {
  EmulatedKernels kernels(/*fused=*/true);
  expect_dense(kernels, {"wide", 20, 300, 264, 10, {}}, at::kBFloat16, kLseWorkspace, {2e-6, 1e-2});
  EXPECT_GT(kernels.weight_tiles, 0);
  EXPECT_EQ(kernels.products, 3 * 2 + 1);  // of the gradients alone
}

TEST(LseFusedKernels, AnchorsAreTheirOwnCandidates) {
  EmulatedKernels kernels(/*fused=*/true);
  expect_self(kernels, 141, 16, 9, at::kBFloat16, kLseWorkspace, {2e-6, 1e-2});
  expect_self(kernels, 141, 16, 60, at::kBFloat16, kTiny, {2e-6, 1e-2});
  EXPECT_EQ(kernels.products, 0);
}

TEST(LseFusedKernels, ServeBfloat16OfWholeVectorsOnly) {
  EmulatedKernels kernels(/*fused=*/true);
  const auto products_of = [&](int64_t width, at::ScalarType type) {
    kernels.products = 0;
    const at::Tensor z = numbers(5, width, 0).to(type);
    lse_forward_by(kernels, {z, z, 3, {}}, LseDirections::kRows, false, {});
    return kernels.products;
  };
  EXPECT_EQ(products_of(16, at::kBFloat16), 0);
  EXPECT_EQ(products_of(12, at::kBFloat16), 1);
  EXPECT_EQ(products_of(16, at::kFloat), 1);
}

TEST(LseFusedKernels, WhatIsNotFiniteMakesEverythingNaN) {
  EmulatedKernels kernels(/*fused=*/true);
  at::Tensor z = numbers(9, 8, 0).to(at::kBFloat16);
  z[4][2] = std::nan("");
  const LseProblem problem{z, z, 3, {}};
  const TwoWayLse found = lse_forward_by(kernels, problem, LseDirections::kBoth, false, {});
  EXPECT_TRUE(found.rows.isnan().all().item<bool>());
  EXPECT_TRUE(found.columns.isnan().all().item<bool>());
  const LseAdjoint adjoint{found.rows, at::ones_like(found.rows)};
  const LseGradients gradients =
      lse_backward_by(kernels, problem, adjoint, adjoint, true, true, false, {});
  EXPECT_TRUE(gradients.anchors.isnan().all().item<bool>());
  EXPECT_TRUE(gradients.candidates.isnan().all().item<bool>());
}

TEST(LsePortableKernels, NaNReachesTheRowsAndColumnsThatSeeIt) {
  EmulatedKernels kernels(/*fused=*/false);
  at::Tensor z = numbers(9, 8, 0);
  z[4][2] = std::nan("");
  const TwoWayLse found =
      lse_forward_by(kernels, {z, numbers(4, 8, 1), 3, {}}, LseDirections::kBoth, false, {});
  EXPECT_TRUE(found.rows[4].isnan().item<bool>());
  EXPECT_FALSE(found.rows[3].isnan().item<bool>());
  EXPECT_TRUE(found.columns.isnan().all().item<bool>());
}

}  // namespace
}  // namespace cltrain
