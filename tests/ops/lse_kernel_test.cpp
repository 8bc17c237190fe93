// The CUDA kernels of the loss engine without a GPU: their arithmetic beside formulas, and their
// per-thread code, driven by the very driver of the CUDA path (ops/lse_cuda.cpp) with fibers for
// threads, beside LibTorch's operators in float64 (ops/lse_chunked.cpp).
#include "tests/ops/emulated_kernels.h"
#include "tests/ops/lse_cases.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::Bench;
using testing::expect_dense;
using testing::expect_self;
using testing::LseCase;
using testing::masked;
using testing::numbers;

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
TEST(LseKernelMath, LayoutsAreThoseOfTheInstructions) {
  EXPECT_TRUE(fused_layouts_agree());
}
#endif

// --- whole passes ---

constexpr int64_t kTiny = 1;  // a chunk of one row, or of one block

TEST(LsePortableKernels, AreTheDenseFormula) {
  EmulatedKernels kernels(/*fused=*/false);
  for (const LseCase& each : masked(20, 270, 5, 20))
    expect_dense(each, {kernels, at::kDouble, 1e-13, 1e-13});
  for (const LseCase& each : masked(15, 23, 5, 100)) {
    expect_dense(each, {kernels, at::kFloat, 1e-5, 1e-5, 23 * 4 * 7});
    expect_dense(each, {kernels, at::kBFloat16, 1e-5, 1e-2, 23 * 6 * 4});
  }
  const Bench floats{kernels, at::kFloat, 1e-5, 1e-5};
  expect_dense({"chunks of a row", 7, 300, 3, 5, {}}, {kernels, at::kFloat, 1e-5, 1e-5, kTiny});
  expect_dense({"sums of columns in parts", 270, 3, 3, 5, {}}, floats);
  expect_dense({"two blocks of weights", 3, 1030, 2, 5, {}}, floats);
  expect_self(41, 6, 9, {kernels, at::kDouble, 1e-13, 1e-13, 41 * 8 * 5});
  EXPECT_GT(kernels.products, 0);
}

// Logits may differ by 2 scale here. Below 80 one reference serves the whole problem; with one
// large row, the tiles without it; where all logits are large, every tile has one of its own; at
// scale 300 rows and columns have theirs.
TEST(LseFusedKernels, AreTheDenseFormulaWithEveryKindOfReference) {
  EmulatedKernels kernels(/*fused=*/true);
  const Bench bench{kernels, at::kBFloat16, 2e-6, 1e-2};
  for (const LseCase& each : masked(70, 270, 8, 5)) expect_dense(each, bench);
  EXPECT_GT(kernels.weight_tiles, 0) << "candidates under excluded columns";
  for (const auto& [scale, last_norm, lift] :
       {std::tuple(24.0, 2.0, 0.0), std::tuple(1.5, 1.0, 10.0), std::tuple(300.0, 1.0, 0.0)}) {
    std::vector<LseCase> all = masked(70, 270, 8, scale);
    for (const size_t each : {0, 2}) {
      all[each].last_norm = last_norm;
      all[each].lift = lift;
      expect_dense(all[each], bench);
    }
  }
}

TEST(LseFusedKernels, AreTheDenseFormulaOverSeveralBlocksAndWidths) {
  EmulatedKernels kernels(/*fused=*/true);
  const Bench bench{kernels, at::kBFloat16, 2e-6, 1e-2},
      tiny{kernels, at::kBFloat16, 2e-6, 1e-2, kTiny};
  expect_dense({"several blocks", 200, 130, 72, 10, {}}, tiny);
  expect_dense({"widest in registers", 20, 70, 200, 10, {}}, bench);
  EXPECT_EQ(kernels.products, 0);
}

// The driver gives few rows' tiles a block each; a block that visits all of them finds the same.
TEST(LseFusedKernels, ABlockVisitsManyTiles) {
  EmulatedKernels kernels(/*fused=*/true);
  constexpr int kRows = 70, kColumns = 600, kWidth = 8;
  const at::Tensor x = numbers(kRows, kWidth, 0.2).to(at::kBFloat16);
  const at::Tensor y = numbers(kColumns, kWidth, 1.3).to(at::kBFloat16);
  const FusedOperands operands{x.data_ptr(), y.data_ptr(), kWidth};
  for (const double scale : {5.0, 100.0}) {
    const float reference = 1.45F * static_cast<float>(scale);
    const std::vector<LseFactor<float>> of_rows(kRows, {0.5F, reference});
    const std::vector<LseFactor<float>> of_columns(768, {0.25F, reference + 2});
    const LseTileProblem problem{kRows,      kColumns, {.self = true}, Base2Scale<float>(scale),
                                 scale < 20, 7.3F};
    std::vector<double> rows, columns;
    std::vector<uint16_t> weights;
    std::vector<float> gradient;
    for (const int splits : {3, 1}) {
      std::vector<LseSum<double>> row_parts(static_cast<size_t>(splits) * kRows), sums(kRows);
      std::vector<LseSum<float>> column_parts(2 * kColumns);
      kernels.fused_sums(operands, problem, splits, {row_parts.data(), column_parts.data()});
      kernels.merge(row_parts.data(), splits, kRows, sums.data());
      std::vector<uint16_t> p(kRows * 608);
      const FusedFactors factors{of_rows.data(), of_columns.data()};
      kernels.fused_weights(operands, problem, splits, factors, p.data(), 608);
      std::vector<float> parts(static_cast<size_t>(splits) * kRows * kWidth), sum(kRows * kWidth);
      kernels.fused_gradient(operands, problem, splits, factors, parts.data());
      for (size_t i = 0; i < parts.size(); ++i) sum[i % sum.size()] += parts[i];
      if (splits == 3) {
        for (const LseSum<double>& each : sums) rows.push_back(each.log());
        for (const LseSum<float>& each : column_parts) columns.push_back(each.log());
        weights = p;
        gradient = sum;
        continue;
      }
      for (size_t i = 0; i < sums.size(); ++i) EXPECT_NEAR(sums[i].log(), rows[i], 1e-6);
      for (size_t i = 0; i < column_parts.size(); ++i)
        EXPECT_EQ(column_parts[i].log(), columns[i]) << i;
      EXPECT_EQ(p, weights);
      for (size_t i = 0; i < sum.size(); ++i)
        EXPECT_NEAR(sum[i], gradient[i], 1e-5 * (1 + std::abs(gradient[i])));
    }
  }
}

TEST(LseFusedKernels, WideEmbeddingsTakeWeightsInMemory) {
  EmulatedKernels kernels(/*fused=*/true);
  expect_dense({"wide", 20, 300, 264, 10, {}}, {kernels, at::kBFloat16, 2e-6, 1e-2});
  EXPECT_GT(kernels.weight_tiles, 0);
  EXPECT_EQ(kernels.products, 3 * 2 + 1);  // of the gradients alone
}

TEST(LseFusedKernels, AnchorsAreTheirOwnCandidates) {
  EmulatedKernels kernels(/*fused=*/true);
  expect_self(141, 16, 9, {kernels, at::kBFloat16, 2e-6, 1e-2});
  expect_self(141, 16, 60, {kernels, at::kBFloat16, 2e-6, 1e-2, kTiny});
  EXPECT_EQ(kernels.products, 0);
}

// A block of candidates that a mask hides from a row, whose LSE the rows of other blocks have made
// far smaller than this block's norms allow: nothing, not infinity times zero.
TEST(LseFusedKernels, HiddenBlocksGiveNothingHoweverSmallTheLse) {
  EmulatedKernels kernels(/*fused=*/true);
  const at::Tensor z = numbers(3, 8, 0.2).to(at::kBFloat16);
  LseMask mask;
  mask.labels = LseLabels::kOnlyEqual;
  mask.row_labels = at::zeros({3}, at::kLong);
  mask.column_labels = at::ones({3}, at::kLong);
  const LseAdjoint low{at::full({3}, -1e4, at::kDouble), at::ones({3}, at::kDouble)};
  for (const double scale : {5.0, 300.0}) {
    const LseGradients found =
        lse_backward_by(kernels, {z, z, scale, mask}, low, low, true, true, false, {});
    EXPECT_EQ(found.anchors.abs().max().item<float>(), 0);
    EXPECT_EQ(found.candidates.abs().max().item<float>(), 0);
  }
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
