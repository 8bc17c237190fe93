// The LSE of all ranks' rows below the losses: upstream gradients that differ by row and rank,
// excluded columns, what travels, how much is held, and wrong calls. Of Communicator::pass_on, the
// step of the ring.
#include "dist/contrast.h"
#include "ops/allocation_meter.h"
#include "support/dense_losses.h"
#include "support/ranks.h"

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::distance;
using testing::length;
using testing::relative_error;
using testing::world;
using Rows = std::vector<int64_t>;

/// `total` rows, more of them on every further rank, none on rank 1 of more than two.
Rows uneven(int64_t total) {
  Rows rows(world().size, 0);
  for (int64_t i = 0, dealt = 0; dealt < total; ++i)
    for (int r = 0; r < world().size && dealt < total; ++r)
      if (r >= i % world().size && !(world().size > 2 && r == 1)) ++rows[r], ++dealt;
  return rows;
}

at::Tensor mine(const at::Tensor& all, const GlobalRows& where) {
  return all.narrow(0, where.first(), where.rows[world().rank]);
}

/// Weights of every size, some 0: a method may leave rows out.
at::Tensor upstream(int64_t rows, uint64_t seed) {
  const at::Tensor weights = testing::gaussian_rows(rows, 1, seed, false).squeeze(1);
  return at::where(weights < -1, at::zeros({}, at::kDouble), weights);
}

void expect_self_lse(Exchange exchange, int64_t rows, double factor, bool excludes) {
  SCOPED_TRACE(::testing::Message() << "exchange " << static_cast<int>(exchange) << ", " << rows
                                    << " rows, scale " << factor << (excludes ? ", excluded" : ""));
  const GlobalRows where{uneven(rows), *all_ranks().loss, exchange};
  const at::Tensor all = testing::gaussian_rows(rows, 9, 5), weights = upstream(rows, 17);
  const at::Tensor partner = (at::arange(rows) + rows / 2) % rows;
  at::Tensor seen = testing::all_but_own(rows);
  if (excludes) seen = seen.scatter(1, partner.unsqueeze(1), 0.0);
  const at::Tensor x = all.clone().requires_grad_();
  const at::Tensor scale = at::full({}, factor, at::kDouble).requires_grad_();
  const at::Tensor expected = testing::dense_self_lse(x, scale, seen);
  (expected * weights).sum().backward();

  const at::Tensor z = mine(all, where).clone().requires_grad_();
  const at::Tensor my_scale = at::full({}, factor, at::kDouble).requires_grad_();
  const at::Tensor excluded = excludes ? mine(partner.unsqueeze(1), where) : at::Tensor();
  const at::Tensor lse = global_self_lse(z, my_scale, excluded, where);
  (lse * mine(weights, where)).sum().backward();
  at::Tensor of_scale = my_scale.grad().clone();
  all_ranks().control->all_reduce_sum(of_scale);
  EXPECT_LE(distance(lse, mine(expected, where)), 1e-12 * length(expected));
  EXPECT_LE(distance(z.grad(), mine(x.grad(), where)), 1e-12 * length(x.grad()));
  EXPECT_LE(distance(of_scale, scale.grad()), 1e-12 * weights.abs().sum().item<double>());
}

void expect_self_lse(Exchange exchange) {
  for (const int64_t rows : {6, 130, 700})
    for (const double factor : {1.0, 10.0, 100.0})
      for (const bool excludes : {false, true}) expect_self_lse(exchange, rows, factor, excludes);
}

TEST(GlobalContrastLse, EveryRowHasAnUpstreamGradientOfItsOwn) {
  expect_self_lse(Exchange::kGather);
}
TEST(GlobalContrastLse, EveryRowHasAnUpstreamGradientOfItsOwnWithSharedOutTiles) {
  expect_self_lse(Exchange::kBalanced);
}
TEST(RingContrastLse, EveryRowHasAnUpstreamGradientOfItsOwn) {
  expect_self_lse(Exchange::kRing);
}

void expect_two_ways(Exchange exchange, bool uses_columns) {
  SCOPED_TRACE(::testing::Message() << "exchange " << static_cast<int>(exchange)
                                    << (uses_columns ? "" : ", columns unused"));
  const int64_t rows = 210;
  const GlobalRows where{uneven(rows), *all_ranks().loss, exchange};
  const testing::Views views = testing::alike_views(rows, 9, 5);
  const at::Tensor by_row = upstream(rows, 17), by_column = upstream(rows, 18);
  const auto leaf = [](const at::Tensor& value) { return value.clone().requires_grad_(); };
  const at::Tensor x = leaf(views.first), y = leaf(views.second),
                   scale = leaf(at::full({}, 30.0, at::kDouble));
  const at::Tensor e = testing::exponentials(x, y, scale);
  at::Tensor loss = (e.sum(1).log() * by_row).sum();
  if (uses_columns) loss = loss + (e.sum(0).log() * by_column).sum();
  loss.backward();

  const at::Tensor my_x = leaf(mine(views.first, where)), my_y = leaf(mine(views.second, where)),
                   my_scale = leaf(at::full({}, 30.0, at::kDouble));
  const TwoWayLse lse = global_two_way_lse(my_x, my_y, my_scale, where);
  at::Tensor share = (lse.rows * mine(by_row, where)).sum();
  if (uses_columns) share = share + (lse.columns * mine(by_column, where)).sum();
  share.backward();
  at::Tensor sums = at::stack({share.detach(), my_scale.grad()});
  all_ranks().control->all_reduce_sum(sums);
  EXPECT_LE(relative_error(sums[0], loss), 1e-12);
  EXPECT_LE(relative_error(sums[1], scale.grad()), 1e-12);
  EXPECT_LE(distance(my_x.grad(), mine(x.grad(), where)), 1e-12 * length(x.grad()));
  EXPECT_LE(distance(my_y.grad(), mine(y.grad(), where)), 1e-12 * length(y.grad()));
}

TEST(GlobalContrastLse, TwoWaysHaveUpstreamGradientsOfTheirOwn) {
  expect_two_ways(Exchange::kGather, true);
  expect_two_ways(Exchange::kGather, false);
}
TEST(RingContrastLse, TwoWaysHaveUpstreamGradientsOfTheirOwn) {
  expect_two_ways(Exchange::kRing, true);
  expect_two_ways(Exchange::kRing, false);
}

TEST(GlobalContrastLse, ARowThatSeesNobodyPassesNoGradient) {
  // Two rows that exclude each other.
  for (const Exchange exchange : {Exchange::kGather, Exchange::kBalanced, Exchange::kRing}) {
    const GlobalRows where{uneven(2), *all_ranks().loss, exchange};
    const at::Tensor z = mine(testing::gaussian_rows(2, 5, 1), where).clone().requires_grad_();
    const at::Tensor partner = mine(at::tensor({1, 0}, at::kLong).unsqueeze(1), where);
    const at::Tensor lse = global_self_lse(z, at::full({}, 5.0), partner, where);
    EXPECT_TRUE(lse.isneginf().all().item<bool>());
    at::where(lse.isneginf(), at::zeros({}, at::kDouble), lse).sum().backward();
    EXPECT_EQ(z.grad().abs().sum().item<double>(), 0);
  }
}

TEST(RingContrastLse, GivesWhatTheGatherGives) {
  for (const double temperature : {0.01, 0.07, 0.3, 1.0}) {
    const Rows rows = uneven(150);
    std::vector<at::Tensor> shares, gradients;
    for (const Exchange exchange : {Exchange::kGather, Exchange::kBalanced, Exchange::kRing}) {
      const GlobalRows where{rows, *all_ranks().loss};
      const testing::Views views = testing::alike_views(150, 16, 2);
      const at::Tensor x = mine(views.first, where).clone().requires_grad_();
      shares.push_back(global_nt_xent(x, mine(views.second, where),
                                      at::full({}, 1 / temperature, at::kDouble), rows,
                                      *all_ranks().loss, [](const char*) {}, {exchange}));
      shares.back().backward();
      gradients.push_back(x.grad());
    }
    for (size_t i = 1; i < shares.size(); ++i) {
      EXPECT_NEAR(shares[i].item<double>(), shares[0].item<double>(), 1e-13 / temperature);
      EXPECT_LE(distance(gradients[i], gradients[0]), 1e-13 * (1 / temperature + 1));
    }
  }
}

struct Bytes {
  int64_t gathered, scattered, passed;
};
Bytes travelled(const std::function<void()>& call) {
  const auto before = all_ranks().loss->traffic();
  call();
  const auto bytes = [&](Collective kind) {
    const auto i = static_cast<size_t>(kind);
    return all_ranks().loss->traffic()[i].bytes - before[i].bytes;
  };
  return {bytes(Collective::kAllGather), bytes(Collective::kReduceScatter),
          bytes(Collective::kSendReceive)};
}

// What dist/global_lse.h says: rows once forward, two numbers a row backward; a ring sends every
// block but its successor's, twice.
TEST(GlobalContrastLse, WhatTravels) {
  const Rows rows = uneven(90);
  const int64_t images = 90, width = 24, ranks = world().size;
  const GlobalRows where{rows, *all_ranks().loss};
  const testing::Views views = testing::alike_views(images, width, 2);
  for (const bool bfloat16 : {false, true})
    for (const Exchange exchange : {Exchange::kGather, Exchange::kRing}) {
      const at::Tensor x = mine(views.first, where).to(at::kFloat).requires_grad_();
      const at::Tensor y = mine(views.second, where).to(at::kFloat).requires_grad_();
      at::Tensor share;
      const Bytes forward = travelled([&] {
        share = global_nt_xent(x, y, at::full({}, 10.0), rows, *all_ranks().loss,
                               [](const char*) {}, {exchange, bfloat16});
      });
      const Bytes backward = travelled([&] { share.backward(); });
      const int64_t row = 2 * width * (bfloat16 ? 2 : 4);  // both views of an image
      const bool ring = exchange == Exchange::kRing;
      const int64_t others = ranks == 1 ? 0 : images - rows[(world().rank + 1) % ranks];
      const int64_t all = ring || ranks == 1 ? 0 : images * row;
      EXPECT_EQ(forward.passed, ring ? others * row : 0);
      EXPECT_EQ(backward.passed, ring ? others * row : 0);
      // Beside the rows at most a few numbers a rank.
      EXPECT_GE(forward.gathered, all);
      EXPECT_LE(forward.gathered, all + 64 * ranks);
      EXPECT_EQ(backward.gathered, 2 * images * 2 * 8);
      EXPECT_EQ(forward.scattered + backward.scattered, 0);
    }
}

TEST(RingContrastLse, HoldsAFewBlocksHoweverManyRanksThereAre) {
  const int64_t images = 1000, width = 96, block = 2 * images * width * 4;
  const Rows rows(world().size, images);
  int64_t peak[2];
  for (const Exchange exchange : {Exchange::kGather, Exchange::kRing}) {
    const testing::Views views = testing::alike_views(images, width, 2 + world().rank);
    const at::Tensor x = views.first.to(at::kFloat).requires_grad_();
    const at::Tensor y = views.second.to(at::kFloat).requires_grad_();
    const AllocationMeter memory;
    global_nt_xent(x, y, at::full({}, 10.0), rows, *all_ranks().loss, [](const char*) {},
                   {exchange})
        .backward();
    peak[exchange == Exchange::kRing] = memory.peak();
  }
  // Own rows of both views, their gradient, three blocks, one packed: about 7.
  EXPECT_LE(peak[1], 8 * block);
  EXPECT_TRUE(world().size <= 2 || peak[1] < peak[0]) << peak[1] << " of " << peak[0];
}

std::string error(const std::function<void()>& call) {
  try {
    call();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "nothing thrown";
}

/// The communicator is in step after an error on every rank.
void expect_still_working(Exchange exchange) {
  expect_self_lse(exchange == Exchange::kBalanced ? Exchange::kGather : exchange, 130, 10, false);
}

TEST(GlobalContrastErrors, AWidthOrTypeThatDiffersOnOneRankIsNamedOnEveryRank) {
  if (world().size == 1) return;
  const Rows rows(world().size, 4);
  const bool odd_one = world().rank == world().size - 1;
  for (const Exchange exchange : {Exchange::kGather, Exchange::kBalanced, Exchange::kRing})
    for (const bool clip : {false, true}) {
      if (clip && exchange == Exchange::kBalanced) continue;
      const auto call = [&](const at::Tensor& z) {
        return error([&] {
          if (clip)
            global_clip(z, z, at::ones({}), rows, *all_ranks().loss, [](const char*) {},
                        {exchange});
          else
            global_nt_xent(z, z, at::ones({}), rows, *all_ranks().loss, [](const char*) {},
                           {exchange});
        });
      };
      const std::string width = call(at::ones({4, odd_one ? 5 : 3}));
      EXPECT_NE(width.find("width 3"), std::string::npos) << width;
      EXPECT_NE(width.find("width 5"), std::string::npos) << width;
      const std::string type = call(at::ones({4, 3}, odd_one ? at::kDouble : at::kFloat));
      EXPECT_NE(type.find("Double"), std::string::npos) << type;
      EXPECT_NE(type.find("Float"), std::string::npos) << type;
      expect_still_working(exchange);
    }
}

// Wrong alike on every rank: nothing may be left under way that a later call would receive.
TEST(RingContrastErrors, ARefusedCallLeavesNoMessageBehind) {
  // 2 MiB: longer than what MPI sends without asking.
  const Rows rows(world().size, 8192);
  const at::Tensor x = at::ones({8192, 64}), y = at::ones({8192, 65});
  const auto ring = [&](const at::Tensor& a, const at::Tensor& b, double scale) {
    return error([&] {
      global_clip(a, b, at::full({}, scale), rows, *all_ranks().loss, [](const char*) {},
                  {Exchange::kRing});
    });
  };
  for (int i = 0; i < 3; ++i) {
    EXPECT_NE(ring(x, y, 1), "nothing thrown");
    EXPECT_NE(ring(x, x, -1).find("temperature"), std::string::npos);
    expect_self_lse(Exchange::kRing, 130, 10, false);
    expect_two_ways(Exchange::kRing, true);
  }
}

TEST(GlobalContrastErrors, NamesAndExchangesThatDoNotExist) {
  EXPECT_EQ(exchange_named("gather"), Exchange::kGather);
  EXPECT_EQ(exchange_named("balanced"), Exchange::kBalanced);
  EXPECT_EQ(exchange_named("ring"), Exchange::kRing);
  EXPECT_NE(error([] { exchange_named("tree"); }).find("'tree'; allowed"), std::string::npos);
  const Rows rows(world().size, 4);
  const std::string text = error([&] {
    global_clip(at::ones({4, 3}), at::ones({4, 3}), at::ones({}), rows, *all_ranks().loss,
                [](const char*) {}, {Exchange::kBalanced});
  });
  EXPECT_NE(text.find("allowed: gather, ring"), std::string::npos) << text;
}

}  // namespace
}  // namespace cltrain
