// row_lse and its relatives against dense float64 formulas through autograd of plain operators.
#include "ops/row_lse.h"

#include "ops/lse_chunked.h"
#include "ops/lse_schedule.h"
#include "tests/support/error_text.h"

#include <cmath>
#include <limits>
#include <set>
#include <tuple>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

at::Tensor numbers(int64_t rows, int64_t width, double phase, bool unit = true) {
  const at::Tensor x =
      (at::arange(rows * width, at::kDouble) * 1.7 + phase).sin().view({rows, width}) +
      0.3 *
          (at::arange(rows * width, at::kDouble).square() * 0.01 + phase).cos().view({rows, width});
  return unit ? x / x.norm(2, {1}, true) : x;
}

/// [M, K] true where row i may see column j, from the rule's words.
at::Tensor allowed(const LseMask& mask, int64_t rows, int64_t columns, bool self) {
  at::Tensor result = at::ones({rows, columns}, at::kBool);
  const at::Tensor ids = at::arange(columns);
  if (self) result = result.logical_and(at::eye(rows).eq(0));
  for (int64_t e = 0; mask.excluded_columns.defined() && e < mask.excluded_columns.size(1); ++e)
    result =
        result.logical_and(ids.unsqueeze(0) != mask.excluded_columns.select(1, e).unsqueeze(1));
  if (mask.labels == LseMask::Labels::kIgnored) return result;
  const at::Tensor equal = mask.row_labels.unsqueeze(1) == mask.column_labels.unsqueeze(0);
  return result.logical_and(mask.labels == LseMask::Labels::kOnlyEqual ? equal : ~equal);
}

struct Leaves {
  at::Tensor anchors, candidates, scale;

  Leaves(const at::Tensor& a, const at::Tensor& c, double s, at::ScalarType type)
      : anchors(a.to(type).detach().clone().requires_grad_()),
        candidates(c.defined() ? c.to(type).detach().clone().requires_grad_() : at::Tensor()),
        scale(at::full({}, s, at::kDouble).requires_grad_()) {}
};

double relative(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor difference = found.to(at::kDouble) - expected.to(at::kDouble);
  return (difference.norm() / expected.to(at::kDouble).norm().clamp_min(1e-300)).item<double>();
}

/// A loss that gives every row a weight of its own; rows without candidates are left out.
at::Tensor weigh(const at::Tensor& lse) {
  const at::Tensor weights = (at::arange(lse.size(0), at::kDouble) * 0.7).cos() + 1.2;
  return at::where(lse.isneginf(), at::zeros({}, at::kDouble), lse * weights).sum();
}

struct Case {
  int64_t rows, columns, width;
  double scale;
  LseMask mask;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto& [rows, columns, width, scale] :
       {std::tuple<int64_t, int64_t, int64_t, double>{1, 1, 1, 1.0},
        {3, 70, 5, 2.0},
        {65, 33, 7, 10.0},
        {300, 290, 16, 20.0},
        {130, 1000, 33, 5.0},
        {700, 40, 8, 100.0}})
    all.push_back({rows, columns, width, scale, {}});
  Case excluded{150, 170, 9, 5.0, {}};
  const at::Tensor ids = at::arange(150);
  excluded.mask.excluded_columns =
      at::stack({ids, at::where(ids % 3 == 0, -1, (ids + 13) % 170)}, 1);
  all.push_back(excluded);
  for (const auto rule : {LseMask::Labels::kOnlyEqual, LseMask::Labels::kNeverEqual}) {
    Case labelled{150, 170, 9, 60.0, {}};
    labelled.mask.labels = rule;
    labelled.mask.row_labels = at::arange(150) % 7;
    labelled.mask.column_labels = at::arange(170) % 5;  // rows of labels 5 and 6 have no equal
    all.push_back(labelled);
    labelled.mask.excluded_columns = at::arange(150).unsqueeze(1);
    all.push_back(labelled);
  }
  return all;
}

at::Tensor dense_logits(const Leaves& leaves, const at::Tensor& other, const at::Tensor& mask) {
  return (leaves.scale * at::mm(leaves.anchors, other.t())).masked_fill(~mask, -kInfinity);
}

class RowLse : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  double tolerance() const { return GetParam() == at::kDouble ? 1e-12 : 1e-5; }
  /// What the engine gets, as float64: rounded where its type rounds.
  at::Tensor rounded(const at::Tensor& x) const { return x.to(GetParam()).to(at::kDouble); }
  /// Of anchors, candidates if there are any, and the scale.
  void expect_gradients(const Leaves& tiled, const Leaves& plain) const {
    EXPECT_LE(relative(tiled.anchors.grad(), plain.anchors.grad()), tolerance());
    if (plain.candidates.defined()) {
      EXPECT_LE(relative(tiled.candidates.grad(), plain.candidates.grad()), tolerance());
    }
    EXPECT_NEAR(tiled.scale.grad().item<double>(), plain.scale.grad().item<double>(),
                tolerance() * std::max(1.0, std::abs(plain.scale.grad().item<double>())));
  }
};

TEST_P(RowLse, IsTheDenseFormula) {
  for (const Case& each : cases()) {
    SCOPED_TRACE(::testing::Message() << each.rows << " x " << each.columns << " x " << each.width
                                      << ", scale " << each.scale);
    const at::Tensor a = rounded(numbers(each.rows, each.width, 0.2));
    const at::Tensor c = rounded(numbers(each.columns, each.width, 1.3));
    Leaves plain(a, c, each.scale, at::kDouble), tiled(a, c, each.scale, GetParam());
    const at::Tensor expected =
        dense_logits(plain, plain.candidates, allowed(each.mask, each.rows, each.columns, false))
            .logsumexp(1);
    const at::Tensor found = row_lse(tiled.anchors, tiled.candidates, tiled.scale, each.mask);
    ASSERT_EQ(found.scalar_type(), at::kDouble);
    EXPECT_TRUE(found.isneginf().equal(expected.isneginf()));
    weigh(expected).backward();
    weigh(found).backward();
    EXPECT_NEAR(weigh(found).item<double>(), weigh(expected).item<double>(),
                tolerance() * std::abs(weigh(expected).item<double>()));
    expect_gradients(tiled, plain);
  }
}

TEST_P(RowLse, TwoWaysAreTheDenseFormula) {
  for (const Case& each : cases()) {
    SCOPED_TRACE(::testing::Message() << each.rows << " x " << each.columns << " x " << each.width
                                      << ", scale " << each.scale);
    const at::Tensor a = rounded(numbers(each.rows, each.width, 0.2));
    const at::Tensor c = rounded(numbers(each.columns, each.width, 1.3));
    Leaves plain(a, c, each.scale, at::kDouble), tiled(a, c, each.scale, GetParam());
    const at::Tensor logits =
        dense_logits(plain, plain.candidates, allowed(each.mask, each.rows, each.columns, false));
    const TwoWayLse found = two_way_lse(tiled.anchors, tiled.candidates, tiled.scale, each.mask);
    const at::Tensor expected = weigh(logits.logsumexp(1)) + 0.5 * weigh(logits.logsumexp(0));
    const at::Tensor loss = weigh(found.rows) + 0.5 * weigh(found.columns);
    expected.backward();
    loss.backward();
    EXPECT_NEAR(loss.item<double>(), expected.item<double>(),
                tolerance() * std::abs(expected.item<double>()));
    expect_gradients(tiled, plain);
  }
}

TEST_P(RowLse, AnchorsAmongThemselvesAreTheDenseFormula) {
  for (const int64_t rows : {2, 31, 64, 130, 517, 1100})
    for (const double scale : {1.0, 10.0, 100.0})
      for (const bool labels : {false, true}) {
        SCOPED_TRACE(::testing::Message() << rows << " rows, scale " << scale);
        LseMask mask;
        if (labels) {
          mask.labels = LseMask::Labels::kOnlyEqual;
          mask.row_labels = mask.column_labels = at::arange(rows) % 9;
        } else if (rows % 2 == 0) {
          mask.excluded_columns = ((at::arange(rows) + rows / 2) % rows).unsqueeze(1);
        }
        const at::Tensor z = rounded(numbers(rows, 12, 0.4));
        Leaves plain(z, {}, scale, at::kDouble), tiled(z, {}, scale, GetParam());
        const at::Tensor expected =
            dense_logits(plain, plain.anchors, allowed(mask, rows, rows, true)).logsumexp(1);
        const at::Tensor found = self_lse(tiled.anchors, tiled.scale, mask);
        EXPECT_TRUE(found.isneginf().equal(expected.isneginf()));
        if (expected.isneginf().all().item<bool>()) continue;
        weigh(expected).backward();
        weigh(found).backward();
        EXPECT_NEAR(weigh(found).item<double>(), weigh(expected).item<double>(),
                    tolerance() * std::abs(weigh(expected).item<double>()));
        expect_gradients(tiled, plain);
      }
}

INSTANTIATE_TEST_SUITE_P(Types, RowLse, ::testing::Values(at::kFloat, at::kDouble),
                         [](const auto& info) { return std::string(c10::toString(info.param)); });

// Weights of the backward pass are rounded to bfloat16 for its products: 2^-9 each, less in sums.
TEST(RowLseTypes, Bfloat16InputsFloat32Sums) {
  const at::Tensor z = numbers(600, 32, 0.4).to(at::kBFloat16);
  Leaves plain(z.to(at::kDouble), {}, 10.0, at::kDouble), tiled(z, {}, 10.0, at::kBFloat16);
  const at::Tensor expected =
      dense_logits(plain, plain.anchors, allowed({}, 600, 600, true)).logsumexp(1);
  const at::Tensor found = self_lse(tiled.anchors, tiled.scale);
  EXPECT_LE(relative(found, expected), 1e-6);
  expected.sum().backward();
  found.sum().backward();
  EXPECT_LE(relative(tiled.anchors.grad(), plain.anchors.grad()), 6e-3);
  EXPECT_NEAR(tiled.scale.grad().item<double>(), plain.scale.grad().item<double>(),
              6e-3 * std::abs(plain.scale.grad().item<double>()));
}

TEST(RowLseTypes, OddWidthsAndRowsInBfloat16) {
  for (const auto& [rows, columns, width] :
       {std::tuple<int64_t, int64_t, int64_t>{33, 47, 7}, {301, 65, 31}, {1, 3, 1}}) {
    const at::Tensor a = numbers(rows, width, 0.2).to(at::kBFloat16);
    const at::Tensor c = numbers(columns, width, 1.3).to(at::kBFloat16);
    Leaves plain(a.to(at::kDouble), c.to(at::kDouble), 5.0, at::kDouble);
    Leaves tiled(a, c, 5.0, at::kBFloat16);
    const at::Tensor logits = plain.scale * at::mm(plain.anchors, plain.candidates.t());
    const TwoWayLse found = two_way_lse(tiled.anchors, tiled.candidates, tiled.scale);
    EXPECT_LE(relative(found.rows, logits.logsumexp(1)), 1e-6);
    EXPECT_LE(relative(found.columns, logits.logsumexp(0)), 1e-6);
    (logits.logsumexp(1).sum() + logits.logsumexp(0).sum()).backward();
    (found.rows.sum() + found.columns.sum()).backward();
    EXPECT_LE(relative(tiled.anchors.grad(), plain.anchors.grad()), 1e-2);
    EXPECT_LE(relative(tiled.candidates.grad(), plain.candidates.grad()), 1e-2);
  }
}

TEST(RowLseRange, LogitsOfAHundredThousandNeitherOverflowNorVanish) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const at::Tensor z = (numbers(200, 8, 0.3, /*unit=*/false) * 300).to(type);
    Leaves plain(z.to(at::kDouble), {}, 1.0, at::kDouble), tiled(z, {}, 1.0, type);
    const at::Tensor expected =
        dense_logits(plain, plain.anchors, allowed({}, 200, 200, true)).logsumexp(1);
    ASSERT_GT(expected.abs().max().item<double>(), 1e5);
    const at::Tensor found = self_lse(tiled.anchors, tiled.scale);
    const double unit = type == at::kDouble ? 1e-12 : 1e-6;
    EXPECT_LE((found - expected).abs().max().item<double>(), 1e6 * unit);
    found.sum().backward();
    expected.sum().backward();
    EXPECT_TRUE(tiled.anchors.grad().isfinite().all().item<bool>());
    EXPECT_LE(relative(tiled.anchors.grad(), plain.anchors.grad()),
              type == at::kDouble ? 1e-9 : 3e-2);
  }
}

TEST(RowLseRange, ARowFarBelowTheOthersKeepsItsSum) {
  // The best logit of row 1 is 400 below that of row 0: a shared reference would lose it.
  const at::Tensor a = at::tensor({20.0F, 0.0F, 0.0F, -20.0F}).view({2, 2});
  const at::Tensor c = at::tensor({20.0F, 0.5F, 20.0F, 0.7F}).view({2, 2});
  const at::Tensor lse = row_lse(a, c, at::ones({}));
  EXPECT_NEAR(lse[0].item<double>(), 400 + std::log(2.0), 1e-4);
  EXPECT_NEAR(lse[1].item<double>(), -10 + std::log1p(std::exp(-4.0)), 1e-4);
}

TEST(RowLseRange, ValuesThatAreNotFiniteMakeNaN) {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), kInfinity}) {
    at::Tensor z = numbers(40, 4, 0.1).to(at::kFloat);
    z[17][2] = bad;
    z.requires_grad_();
    const at::Tensor lse = self_lse(z, at::full({}, 5.0));
    EXPECT_TRUE(lse.isnan().all().item<bool>());
    lse.sum().backward();
    EXPECT_TRUE(z.grad().isnan().all().item<bool>());
  }
}

TEST(RowLse, NoCandidatesAndNoAnchors) {
  const at::Tensor a = numbers(5, 3, 0.1).requires_grad_(), none = at::zeros({0, 3}, at::kDouble);
  const at::Tensor lse = row_lse(a, none, at::ones({}));
  EXPECT_TRUE(lse.isneginf().all().item<bool>());
  lse.sum().backward();
  EXPECT_EQ(a.grad().abs().sum().item<double>(), 0);
  EXPECT_EQ(row_lse(none, a, at::ones({})).numel(), 0);
  EXPECT_EQ(self_lse(none, at::ones({})).numel(), 0);
}

TEST(RowLse, CandidateWeightMultipliesLogits) {
  const at::Tensor a = numbers(50, 6, 0.1), c = numbers(70, 6, 0.9);
  const at::Tensor weight = at::linspace(0.2, 1.0, 70, at::kDouble);
  Leaves plain(a, c, 8.0, at::kDouble), tiled(a, c, 8.0, at::kDouble);
  const at::Tensor logits = plain.scale * at::mm(plain.anchors, plain.candidates.t()) * weight;
  weigh(logits.logsumexp(1)).backward();
  weigh(row_lse(tiled.anchors, tiled.candidates, tiled.scale, {}, weight)).backward();
  EXPECT_LE(relative(tiled.anchors.grad(), plain.anchors.grad()), 1e-12);
  EXPECT_LE(relative(tiled.candidates.grad(), plain.candidates.grad()), 1e-12);
  EXPECT_NEAR(tiled.scale.grad().item<double>(), plain.scale.grad().item<double>(), 1e-10);
}

TEST(RowLse, SameBitsAtAnyNumberOfThreads) {
  const at::Tensor z = numbers(900, 24, 0.4).to(at::kFloat),
                   y = numbers(333, 24, 2.4).to(at::kFloat);
  const int before = at::get_num_threads();
  std::vector<at::Tensor> first;
  for (const int threads : {1, 2, 3, 7}) {
    at::set_num_threads(threads);
    at::Tensor a = z.detach().requires_grad_(), c = y.detach().requires_grad_();
    at::Tensor self = z.detach().requires_grad_();
    const TwoWayLse two = two_way_lse(a, c, at::full({}, 10.0));
    const at::Tensor one = self_lse(self, at::full({}, 10.0));
    (two.rows.sum() + two.columns.sum() + one.sum()).backward();
    const std::vector<at::Tensor> found{two.rows, two.columns, one,
                                        a.grad(), c.grad(),    self.grad()};
    if (first.empty()) first = found;
    for (size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(found[i].equal(first[i])) << threads;
  }
  at::set_num_threads(before);
}

TEST(RowLse, SharesOfTilesCombine) {
  const at::Tensor z = numbers(530, 10, 0.4);
  const at::Tensor whole = self_lse_forward(z, 7.0, {});
  const at::Tensor up = at::rand({530}, at::kDouble);
  const at::Tensor gradient = self_lse_backward(z, 7.0, {}, {whole, up});
  for (const int64_t count : {1, 2, 3, 5}) {
    std::vector<at::Tensor> partial;
    at::Tensor sum = at::zeros_like(gradient);
    for (int64_t index = 0; index < count; ++index) {
      partial.push_back(self_lse_forward(z, 7.0, {}, {index, count}));
      sum += self_lse_backward(z, 7.0, {}, {whole, up}, {index, count});
    }
    EXPECT_LE(relative(combine_lse(at::stack(partial)), whole), 1e-14);
    EXPECT_LE(relative(sum, gradient), 1e-13);
  }
}

TEST(RowLseChunked, IsTheTiledEngine) {
  for (const Case& each : cases()) {
    const LseProblem problem{numbers(each.rows, each.width, 0.2),
                             numbers(each.columns, each.width, 1.3), each.scale, each.mask};
    const TwoWayLse tiled = lse_forward(problem, LseDirections::kBoth);
    const TwoWayLse chunked = lse_forward_chunked(problem, LseDirections::kBoth);
    EXPECT_TRUE(at::allclose(tiled.rows, chunked.rows, 1e-12, 1e-12));
    EXPECT_TRUE(at::allclose(tiled.columns, chunked.columns, 1e-12, 1e-12));
    const LseAdjoint rows{tiled.rows, at::linspace(0.5, 1, each.rows, at::kDouble)};
    const LseAdjoint columns{tiled.columns, at::linspace(1, 2, each.columns, at::kDouble)};
    const LseGradients one = lse_backward(problem, rows, columns, true, true);
    const LseGradients other = lse_backward_chunked(problem, rows, columns, true, true);
    EXPECT_LE(relative(other.anchors, one.anchors), 1e-12);
    EXPECT_LE(relative(other.candidates, one.candidates), 1e-12);
  }
  const LseProblem self{numbers(200, 6, 0.2), numbers(200, 6, 0.2), 9.0, {}};
  const at::Tensor lse = self_lse_forward(self.anchors, 9.0, {});
  EXPECT_TRUE(at::allclose(lse, self_lse_forward_chunked(self, {}), 1e-12, 1e-12));
  const LseAdjoint rows{lse, at::linspace(0.5, 1, 200, at::kDouble)};
  EXPECT_LE(relative(self_lse_backward_chunked(self, rows, {}),
                     self_lse_backward(self.anchors, 9.0, {}, rows)),
            1e-12);
}

TEST(LseSchedule, EveryPairOnceAndNobodyTwiceInARound) {
  using Kind = LseSchedule::Kind;
  for (const auto& [rows, columns] :
       {std::pair<int64_t, int64_t>{1, 1}, {2, 5}, {7, 3}, {8, 8}, {9, 9}})
    for (const Kind kind : {Kind::kRows, Kind::kRectangle, Kind::kTriangle}) {
      if (kind == Kind::kTriangle && rows != columns) continue;
      const LseSchedule schedule(kind, rows, columns);
      std::set<std::pair<int64_t, int64_t>> met;
      int64_t pairs = 0;
      for (int64_t round = 0; round < schedule.rounds(); ++round) {
        std::multiset<int64_t> written_rows, written_columns;
        for (int64_t lane = 0; lane < schedule.lanes(round); ++lane)
          for (int64_t step = 0; step < schedule.steps(); ++step) {
            const BlockPair pair = schedule.pair(round, lane, step);
            if (pair.none()) continue;
            ++pairs;
            met.emplace(pair.row, pair.column);
            if (kind == Kind::kRows) continue;
            written_rows.insert(pair.row);
            auto& other = kind == Kind::kTriangle ? written_rows : written_columns;
            if (kind == Kind::kRectangle || pair.row != pair.column) other.insert(pair.column);
          }
        for (const int64_t row : written_rows) EXPECT_EQ(written_rows.count(row), 1u);
        for (const int64_t column : written_columns) EXPECT_EQ(written_columns.count(column), 1u);
      }
      const int64_t expected = kind == Kind::kTriangle ? rows * (rows + 1) / 2 : rows * columns;
      EXPECT_EQ(pairs, expected);
      EXPECT_EQ(static_cast<int64_t>(met.size()), expected);
    }
}

TEST(RowLseErrors, SayWhatIsWrong) {
  const at::Tensor a = at::ones({4, 3}), b = at::ones({4, 5});
  EXPECT_NE(testing::error_text([&] { row_lse(a, b, at::ones({})); }).find("width 3"),
            std::string::npos);
  EXPECT_NE(testing::error_text([&] { row_lse(a, a, at::zeros({})); }).find("temperature"),
            std::string::npos);
  EXPECT_NE(testing::error_text([&] { row_lse(a, a.to(at::kDouble), at::ones({})); }).find("type"),
            std::string::npos);
  EXPECT_NE(testing::error_text([&] {
              row_lse(a, a, at::ones({}), {}, at::ones({3}));
            }).find("candidate_weight"),
            std::string::npos);
}

}  // namespace
}  // namespace cltrain
