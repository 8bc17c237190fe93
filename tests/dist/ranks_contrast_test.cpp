// Losses over the rows of all ranks against the papers' formulas on all rows at once, in float64
// (tests/support/dense_losses.h), which every rank computes for itself: the sum of the shares, the
// gradient of every embedding of this rank, the sum of the gradients of the scale.
#include "dist/contrast.h"
#include "support/dense_losses.h"
#include "support/ranks.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::distance;
using testing::length;
using testing::world;
using Rows = std::vector<int64_t>;

const char* name_of(Exchange exchange) {
  return exchange == Exchange::kGather ? "gather"
                                       : (exchange == Exchange::kRing ? "ring" : "balanced");
}

/// Ways to deal `images` out: evenly; nearly all to the last rank; none to every other rank; all to
/// the first one.
std::set<Rows> cuts(int64_t images) {
  const int64_t ranks = world().size;
  Rows even, last(ranks, 0), alternate(ranks, 0), first(ranks, 0);
  for (int64_t r = 0; r < ranks; ++r) even.push_back((r + 1) * images / ranks - r * images / ranks);
  for (int64_t i = 0; i < images; ++i) ++last[i < ranks - 1 && i + 1 < images ? i : ranks - 1];
  const int64_t odd = std::max<int64_t>(ranks / 2, 1);
  for (int64_t i = 0; i < images; ++i) ++alternate[std::min(2 * (i % odd) + 1, ranks - 1)];
  first[0] = images;
  return {even, last, alternate, first};
}

struct Numbers {
  int64_t images, width;
  double temperature = 0.1;
  at::ScalarType type = at::kDouble;
  bool unit = true;
  bool bfloat16 = false;
};

/// This rank's share of the loss of its rows, of all rows' loss.
using Share = std::function<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&)>;

struct Tolerance {
  double value, gradient;
};
Tolerance tolerance_of(const Numbers& numbers) {
  if (numbers.bfloat16) return {1e-5, 4e-3};  // weights and gradients in 8 bits
  return numbers.type == at::kDouble ? Tolerance{1e-12, 1e-12} : Tolerance{1e-5, 1e-5};
}

/// Errors are counted in units of the two terms of a loss (an LSE and a logit), which nearly cancel
/// where every positive is the nearest row.
void expect_formula(const Share& share_of, const Share& formula, const Numbers& numbers,
                    const Rows& rows) {
  SCOPED_TRACE(::testing::Message() << numbers.images << " images x " << numbers.width
                                    << ", temperature " << numbers.temperature << ", "
                                    << numbers.type << (numbers.bfloat16 ? " through bfloat16" : "")
                                    << ", rows " << ::testing::PrintToString(rows));
  const int rank = world().rank;
  const GlobalRows where{rows, *all_ranks().loss};
  const testing::Views views =
      testing::alike_views(numbers.images, numbers.width, 31 + numbers.images, numbers.unit);
  const auto seen = [&](const at::Tensor& x) {
    return x.to(numbers.bfloat16 ? at::kBFloat16 : numbers.type).to(at::kDouble).detach();
  };
  const double factor = 1 / numbers.temperature;
  const at::Tensor x = seen(views.first).requires_grad_(), y = seen(views.second).requires_grad_();
  const at::Tensor scale = at::full({}, factor, at::kDouble).requires_grad_();
  const at::Tensor expected = formula(x, y, scale);
  expected.backward();

  const auto local = [&](const at::Tensor& all) {
    return all.to(numbers.type).narrow(0, where.first(), rows[rank]).clone().requires_grad_();
  };
  const at::Tensor my_x = local(views.first), my_y = local(views.second);
  const at::Tensor my_scale = at::full({}, factor, at::kDouble).requires_grad_();
  const at::Tensor share = share_of(my_x, my_y, my_scale);
  share.backward();
  EXPECT_EQ(share.scalar_type(), at::kDouble);
  EXPECT_TRUE(my_scale.grad().defined());
  const at::Tensor of_scale =
      my_scale.grad().defined() ? my_scale.grad() : at::zeros({}, at::kDouble);
  at::Tensor sums = at::stack({share.detach(), of_scale});
  all_ranks().control->all_reduce_sum(sums);

  const Tolerance tolerance = tolerance_of(numbers);
  const double longest = at::cat({x, y}).detach().norm(2, {1}).max().item<double>(),
               logit = factor * longest * longest;
  EXPECT_NEAR(sums[0].item<double>(), expected.item<double>(),
              tolerance.value * (std::abs(expected.item<double>()) + 1 + 0.1 * logit));
  EXPECT_NEAR(sums[1].item<double>(), scale.grad().item<double>(),
              tolerance.gradient * (std::abs(scale.grad().item<double>()) + longest * longest));
  const double unit = factor * longest / std::sqrt(numbers.images);
  for (const auto& [mine, whole] : {std::pair(my_x, x), std::pair(my_y, y)}) {
    EXPECT_EQ(mine.grad().scalar_type(), numbers.type);
    EXPECT_LE(distance(mine.grad(), whole.grad().narrow(0, where.first(), rows[rank])),
              tolerance.gradient * (length(whole.grad()) + unit));
  }
}

const std::vector<Numbers>& all_numbers() {
  static const std::vector<Numbers> numbers = [] {
    std::vector<Numbers> all;
    for (const int64_t images : {1, 5, 40, 300})
      for (const int64_t width : {3, 33}) {
        all.push_back({images, width});
        all.push_back({.images = images, .width = width, .temperature = 0.01});
        all.push_back({.images = images, .width = width, .temperature = 0.01, .type = at::kFloat});
        all.push_back({.images = images, .width = width, .type = at::kFloat, .bfloat16 = true});
      }
    for (const double temperature : {0.03, 0.07, 0.5, 1.0})
      all.push_back({.images = 40, .width = 33, .temperature = temperature});
    // Raw rows of length 6: logits up to 100.
    all.push_back({.images = 40, .width = 33, .temperature = 1, .unit = false});
    all.push_back({.images = 40, .width = 33, .temperature = 1, .type = at::kFloat, .unit = false});
    return all;
  }();
  return numbers;
}

void expect_nt_xent(Exchange exchange) {
  SCOPED_TRACE(name_of(exchange));
  for (const Numbers& numbers : all_numbers())
    for (const Rows& rows : cuts(numbers.images))
      expect_formula(
          [&](const auto& x, const auto& y, const auto& scale) {
            return global_nt_xent(x, y, scale, rows, *all_ranks().loss, [](const char*) {},
                                  {exchange, numbers.bfloat16});
          },
          [](const auto& x, const auto& y, const auto& scale) {
            return testing::dense_nt_xent_rows(x, y, scale).mean();
          },
          numbers, rows);
}

void expect_clip(Exchange exchange) {
  SCOPED_TRACE(name_of(exchange));
  for (const Numbers& numbers : all_numbers())
    for (const Rows& rows : cuts(numbers.images))
      expect_formula(
          [&](const auto& x, const auto& y, const auto& scale) {
            return global_clip(x, y, scale, rows, *all_ranks().loss, [](const char*) {},
                               {exchange, numbers.bfloat16});
          },
          [](const auto& x, const auto& y, const auto& scale) {
            const testing::DenseTwoWay loss = testing::dense_clip_rows(x, y, scale);
            return (loss.x_to_y.mean() + loss.y_to_x.mean()) / 2;
          },
          numbers, rows);
}

void expect_one_way(Exchange exchange) {
  SCOPED_TRACE(name_of(exchange));
  for (const Numbers& numbers : {Numbers{40, 33}, Numbers{.images = 5, .width = 3, .unit = false},
                                 Numbers{.images = 40, .width = 3, .type = at::kFloat}})
    for (const Rows& rows : cuts(numbers.images))
      expect_formula(
          [&](const auto& x, const auto& y, const auto& scale) {
            return global_one_way(x, y, scale, rows, *all_ranks().loss, [](const char*) {},
                                  {exchange, numbers.bfloat16});
          },
          [](const auto& x, const auto& y, const auto& scale) {
            return testing::dense_clip_rows(x, y, scale).x_to_y.mean();
          },
          numbers, rows);
}

TEST(GlobalContrast, NtXentIsThePapersFormula) {
  expect_nt_xent(Exchange::kGather);
}
TEST(GlobalContrast, NtXentWithSharedOutTilesIsThePapersFormula) {
  expect_nt_xent(Exchange::kBalanced);
}
TEST(RingContrast, NtXentIsThePapersFormula) {
  expect_nt_xent(Exchange::kRing);
}
TEST(GlobalContrast, ClipIsThePapersFormula) {
  expect_clip(Exchange::kGather);
}
TEST(RingContrast, ClipIsThePapersFormula) {
  expect_clip(Exchange::kRing);
}
TEST(GlobalContrast, OneWayIsThePapersFormula) {
  expect_one_way(Exchange::kGather);
}
TEST(RingContrast, OneWayIsThePapersFormula) {
  expect_one_way(Exchange::kRing);
}

TEST(GlobalContrast, TheTestHasUnevenAndEmptyShares) {
  for (const int64_t images : {1, 5, 40, 300})
    for (const Rows& rows : cuts(images)) {
      EXPECT_EQ(static_cast<int>(rows.size()), world().size);
      EXPECT_EQ((GlobalRows{rows, *all_ranks().loss}.total()), images);
    }
  EXPECT_GE(cuts(300).size(), world().size > 1 ? 4u : 1u);
}

// A value that is not finite on one rank reaches the share of every rank that has rows, and the
// gradient of every row, so that no rank steps on.
void expect_nan_everywhere(Exchange exchange, int bad_rank, bool clip) {
  SCOPED_TRACE(::testing::Message() << name_of(exchange) << ", NaN on rank " << bad_rank);
  const Rows rows(world().size, 20);
  const testing::Views views = testing::alike_views(20, 8, 3 + world().rank);
  at::Tensor x = views.first.to(at::kFloat), y = views.second.to(at::kFloat);
  if (world().rank == bad_rank) x[7][3] = std::numeric_limits<double>::quiet_NaN();
  x.requires_grad_();
  y.requires_grad_();
  const at::Tensor scale = at::full({}, 10.0).requires_grad_();
  const ContrastSettings settings{exchange};
  const auto enter = [](const char*) {};
  const at::Tensor share =
      clip ? global_clip(x, y, scale, rows, *all_ranks().loss, enter, settings)
           : global_nt_xent(x, y, scale, rows, *all_ranks().loss, enter, settings);
  share.backward();
  EXPECT_TRUE(share.isnan().item<bool>());
  EXPECT_TRUE(x.grad().isnan().all().item<bool>());
  EXPECT_TRUE(y.grad().isnan().all().item<bool>());
  EXPECT_TRUE(scale.grad().isnan().item<bool>());
}

TEST(GlobalContrast, NaNOnOneRankIsNaNOnAll) {
  for (int bad = 0; bad < world().size; ++bad) {
    expect_nan_everywhere(Exchange::kGather, bad, false);
    expect_nan_everywhere(Exchange::kBalanced, bad, false);
    expect_nan_everywhere(Exchange::kGather, bad, true);
  }
}
TEST(RingContrast, NaNOnOneRankIsNaNOnAll) {
  for (int bad = 0; bad < world().size; ++bad) {
    expect_nan_everywhere(Exchange::kRing, bad, false);
    expect_nan_everywhere(Exchange::kRing, bad, true);
  }
}

}  // namespace
}  // namespace cltrain
