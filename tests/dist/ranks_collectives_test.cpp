// Collectives against plain arithmetic: every rank computes from (rank, size) alone what it should
// receive.
#include "dist/errors.h"
#include "dist/gather.h"
#include "dist/mpi_backend.h"
#include "support/ranks.h"

#include <numeric>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>
#include <mpi.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::world;

/// Rows of `rank`: distinct for every rank, row and column.
at::Tensor rows_of(int rank, int64_t rows, at::ScalarType type) {
  return (at::arange(rows * 3, at::kDouble).view({rows, 3}) + 1000.0 * rank).to(type);
}

/// rank + 1 rows on even ranks, none on odd ones (on rank 1 and 3 of 4).
std::vector<int64_t> uneven(int size) {
  std::vector<int64_t> rows(size);
  for (int r = 0; r < size; ++r) rows[r] = r % 2 == 0 ? r + 1 : 0;
  return rows;
}

TEST(Collectives, AllGatherKeepsRankOrderWithUnevenRows) {
  for (const auto type : {at::kFloat, at::kDouble, at::kLong, at::kBFloat16, at::kByte}) {
    const auto rows = uneven(world().size);
    const at::Tensor global =
        all_ranks().loss->all_gather(rows_of(world().rank, rows[world().rank], type), rows);
    std::vector<at::Tensor> expected;
    for (int r = 0; r < world().size; ++r) expected.push_back(rows_of(r, rows[r], type));
    EXPECT_TRUE(at::equal(global, at::cat(expected))) << type;
  }
}

TEST(Collectives, AllGatherOfNothingIsEmpty) {
  const std::vector<int64_t> none(world().size, 0);
  const at::Tensor global = all_ranks().loss->all_gather(at::full({0, 5}, 1.0), none);
  EXPECT_EQ(global.sizes(), (std::vector<int64_t>{0, 5}));
}

TEST(Collectives, ReduceScatterSumsTheRanksContributions) {
  const auto rows = uneven(world().size);
  const int64_t total = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  // Rank r contributes (r + 1) * row number: the sum over ranks is row number * W(W+1)/2.
  const at::Tensor numbers = at::arange(total, at::kDouble).unsqueeze(1).expand({total, 4});
  const at::Tensor mine =
      all_ranks().loss->reduce_scatter_sum(numbers * (world().rank + 1.0), rows);
  const int64_t first = std::accumulate(rows.begin(), rows.begin() + world().rank, int64_t{0});
  const double factor = world().size * (world().size + 1) / 2.0;
  EXPECT_TRUE(at::equal(mine, numbers.narrow(0, first, rows[world().rank]) * factor));
}

TEST(Collectives, AllReduceSumAndMax) {
  at::Tensor sum = at::full({7}, world().rank + 1.0, at::kDouble);
  all_ranks().loss->all_reduce_sum(sum);
  EXPECT_TRUE(at::equal(sum, at::full({7}, world().size * (world().size + 1) / 2.0, at::kDouble)));
  at::Tensor largest = at::full({3}, -1.0 * world().rank, at::kFloat);
  all_ranks().loss->all_reduce_max(largest);
  EXPECT_TRUE(at::equal(largest, at::full({3}, 0.0, at::kFloat)));
}

TEST(Collectives, SumsHaveTheSameBitsOnEveryRank) {
  // Values whose float sum depends on the order of addition.
  for (const int64_t length : {3, 1000, 300000}) {
    at::Tensor values = (at::arange(length, at::kFloat) * 0.37f + 1.0f).sin() *
                        std::pow(10.0f, static_cast<float>(world().rank * 2 - 3));
    all_ranks().gradients->all_reduce_sum(values);
    at::Tensor first = values.clone();
    all_ranks().gradients->broadcast(first, 0);
    EXPECT_TRUE(at::equal(values, first)) << length;
  }
}

TEST(Collectives, BroadcastFromEveryRoot) {
  for (int root = 0; root < world().size; ++root) {
    at::Tensor value = rows_of(world().rank, 4, at::kLong);
    all_ranks().control->broadcast(value, root);
    EXPECT_TRUE(at::equal(value, rows_of(root, 4, at::kLong)));
  }
}

TEST(Collectives, CountsInRankOrder) {
  const auto counts = all_ranks().control->all_gather_count(world().rank * 10);
  for (int r = 0; r < world().size; ++r) EXPECT_EQ(counts.at(r), r * 10);
}

TEST(Collectives, WrongRowCountsAreRefusedBeforeAnyExchange) {
  std::vector<int64_t> rows(world().size, 2);
  EXPECT_THROW(all_ranks().loss->all_gather(at::full({3, 2}, 1.0), rows), c10::Error);
  EXPECT_THROW(all_ranks().loss->reduce_scatter_sum(at::full({1, 2}, 1.0), rows), c10::Error);
  all_ranks().loss->barrier();
}

TEST(Collectives, AnMpiErrorNamesOperationNumberGroupAndRank) {
  // Root 99 does not exist: MPI refuses, every rank alike.
  at::Tensor value = at::full({1}, 1.0);
  try {
    all_ranks().loss->broadcast(value, 99);
    FAIL() << "MPI accepted root 99";
  } catch (const PeerLost& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("broadcast #"), std::string::npos) << text;
    EXPECT_NE(text.find("group 'loss'"), std::string::npos) << text;
    EXPECT_NE(text.find("rank " + std::to_string(world().rank)), std::string::npos) << text;
  }
  all_ranks().control->barrier();
}

TEST(Gather, GradientIsTheSumOverRanks) {
  const auto rows = uneven(world().size);
  const int64_t total = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  at::Tensor local = rows_of(world().rank, rows[world().rank], at::kDouble).requires_grad_();
  const at::Tensor global = gather_with_grad(local, rows, *all_ranks().loss);
  ASSERT_EQ(global.size(0), total);
  // Rank r's share weighs row i by (r + 1) * (i + 1): over ranks the weight is (i + 1) W(W+1)/2.
  const at::Tensor weight = (at::arange(total, at::kDouble) + 1).unsqueeze(1);
  (global * weight * (world().rank + 1.0)).sum().backward();
  const int64_t first = std::accumulate(rows.begin(), rows.begin() + world().rank, int64_t{0});
  const double factor = world().size * (world().size + 1) / 2.0;
  const at::Tensor expected =
      (weight.narrow(0, first, rows[world().rank]) * factor).expand_as(local);
  EXPECT_TRUE(at::allclose(local.grad(), expected, 1e-15, 0));
}

}  // namespace
}  // namespace cltrain
