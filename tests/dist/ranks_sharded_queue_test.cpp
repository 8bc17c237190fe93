// The sharded queue against a plain deque, and its log-sum-exp against the dense float64 formula.
#include "dist/contrast.h"
#include "dist/global_lse.h"
#include "dist/sharded_queue.h"
#include "ops/allocation_meter.h"
#include "ops/row_range.h"
#include "support/ranks.h"
#include "tests/models/values.h"

#include <cmath>
#include <deque>
#include <functional>
#include <numeric>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::values;
using testing::world;

constexpr int64_t kWidth = 5;

const Communicator& ranks() {
  return *all_ranks().loss;
}

/// This rank's rows of a global tensor, and how many each has: the last rank has none where there
/// are several.
std::vector<int64_t> uneven_rows(int64_t total) {
  const int sharing = std::max(1, world().size - 1);
  std::vector<int64_t> rows;
  for (int rank = 0; rank < world().size; ++rank)
    rows.push_back(rank < sharing ? rank_share(total, rank, sharing).count() : 0);
  return rows;
}

at::Tensor own_rows(const at::Tensor& global, const std::vector<int64_t>& rows) {
  const auto first = std::accumulate(rows.begin(), rows.begin() + world().rank, int64_t{0});
  return global.narrow(0, first, rows[static_cast<size_t>(world().rank)]);
}

std::vector<int64_t> in_order(int64_t count) {
  std::vector<int64_t> places(static_cast<size_t>(count));
  std::iota(places.begin(), places.end(), int64_t{0});
  return places;
}

void push(ShardedQueue& queue, const at::Tensor& batch) {
  const auto rows = uneven_rows(batch.size(0));
  queue.push({own_rows(batch, rows)}, rows, in_order(batch.size(0)));
}

at::Tensor all_keys(const ShardedQueue& queue) {
  return ranks().all_gather(queue.keys, queue.rows());
}

TEST(ShardedQueue, KeepsTheLastKeysAsADequeDoes) {
  for (const int64_t slots : {4, 7, 16}) {
    ShardedQueue queue(slots, kWidth, 3, ranks());
    std::deque<std::pair<double, int64_t>> oracle(static_cast<size_t>(slots), {0, 1});
    double next = 1;
    int64_t pushes = 0;
    for (const int64_t count : {3, 0, 5, 1, 19, 2, 7}) {
      const at::Tensor batch =
          at::arange(next, next + static_cast<double>(count)).unsqueeze(1).expand({count, kWidth});
      push(queue, batch.to(at::kFloat));
      ++pushes;
      for (int64_t i = 0; i < count; ++i) {
        oracle.pop_front();
        oracle.emplace_back(next++, pushes);
      }
    }
    // The deque's front is the oldest; the queue's oldest is where the next key goes.
    const auto total = static_cast<int64_t>(next) - 1;
    const at::Tensor keys = all_keys(queue).roll({-(total % slots)}, {0});
    const at::Tensor ages =
        ranks().all_gather(queue.ages(), queue.rows()).roll({-(total % slots)}, {0});
    for (int64_t i = 0; i < slots; ++i) {
      EXPECT_EQ(keys[i][0].item<double>(), oracle[static_cast<size_t>(i)].first)
          << slots << " " << i;
      EXPECT_EQ(ages[i].item<int64_t>(), pushes - oracle[static_cast<size_t>(i)].second + 1);
    }
  }
}

TEST(ShardedQueue, StartsWithTheSameUnitVectorsAtAnyNumberOfRanks) {
  const ShardedQueue queue(33, kWidth, 3, ranks());
  const at::Tensor shared = all_keys(queue);
  const auto solo = testing::alone();
  const ShardedQueue single(33, kWidth, 3, *solo->loss);
  EXPECT_TRUE(shared.equal(single.keys));
  EXPECT_LT((shared.norm(2, {1}) - 1).abs().max().item<double>(), 1e-6);
  EXPECT_LT(shared.mean(0).norm().item<double>(), 0.6);  // in every direction
  EXPECT_FALSE(shared.equal(ShardedQueue(33, kWidth, 4, *solo->loss).keys));
}

TEST(ShardedQueue, RefusesFewerKeysThanRanks) {
  if (world().size == 1) return;
  EXPECT_THROW(ShardedQueue(world().size - 1, kWidth, 3, ranks()), std::invalid_argument);
}

TEST(ShardedQueue, AMillionKeysTakeAQuarterOnEachOfFourRanks) {
  if (world().size != 4) return;
  constexpr int64_t kKeys = 1048576, kWide = 128, kBatch = 64;
  constexpr int64_t kShare = kKeys / 4 * (kWide * 4 + 8);  // float32, and the number of the push
  const AllocationMeter meter;
  ShardedQueue queue(kKeys, kWide, 3, ranks());
  EXPECT_LT(meter.peak(), kShare + (1 << 20));
  const auto rows = uneven_rows(kBatch);
  const at::Tensor all = values({kBatch, kWide}, 0.2, at::kFloat);
  const at::Tensor queries = own_rows(all / all.norm(2, {1}, true), rows).clone().requires_grad_();
  const at::Tensor scale = at::full({}, 5.0, at::kDouble);
  global_queue_info_nce(queries, queries.detach(), queue, scale, rows, ranks()).backward();
  queue.push({queries.detach()}, rows, in_order(kBatch));
  // One block of keys is packed at a time: 65,536 x 128 floats, 32 MiB.
  EXPECT_LT(meter.peak(), kShare + (40 << 20));
  EXPECT_GT(queries.grad().abs().sum().item<double>(), world().rank < 3 ? 1e-6 : -1);
}

TEST(ShardedQueue, SaysWhichTensorsAreShared) {
  torch::nn::Module root;
  root.register_module("queue", std::make_shared<ShardedQueue>(10, kWidth, 3, ranks()));
  const auto found = sharded_buffers(root);
  ASSERT_EQ(found.size(), 2U);
  for (const char* name : {"queue.keys", "queue.pushed"}) {
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_EQ(std::accumulate(found.at(name).begin(), found.at(name).end(), int64_t{0}), 10);
  }
}

/// -log softmax of the positive among it and all keys, faded by age; He et al., equation 1.
at::Tensor dense_info_nce(const at::Tensor& queries, const at::Tensor& positives,
                          const at::Tensor& keys, const at::Tensor& ages, const at::Tensor& scale,
                          double decay) {
  const at::Tensor weight = at::pow(at::Scalar(decay), ages.to(at::kDouble));
  const at::Tensor negative = queries.mm(keys.t()) * weight * scale;
  const at::Tensor positive = (queries * positives).sum(1, true) * scale;
  return -at::log_softmax(at::cat({positive, negative}, 1), 1).select(1, 0);
}

using Dense = std::function<at::Tensor(const at::Tensor& queries, const at::Tensor& scale)>;
using Shared = std::function<at::Tensor(const at::Tensor& queries, const at::Tensor& scale,
                                        const std::vector<int64_t>& rows)>;

/// Value and gradients of a loss of all queries, which every rank computes whole, against those of
/// the ranks' shares.
void expect_shares_of(const at::Tensor& all_queries, const Dense& dense, const Shared& shared) {
  const auto rows = uneven_rows(all_queries.size(0));
  const at::Tensor dense_queries = all_queries.clone().requires_grad_();
  const at::Tensor dense_scale = at::full({}, 5.0, at::kDouble).requires_grad_();
  const at::Tensor expected = dense(dense_queries, dense_scale);
  expected.backward();
  const at::Tensor queries = own_rows(all_queries, rows).clone().requires_grad_();
  const at::Tensor scale = at::full({}, 5.0, at::kDouble).requires_grad_();
  const at::Tensor share = shared(queries, scale, rows);
  share.backward();
  at::Tensor totals = at::stack({share.detach(), scale.grad()});
  ranks().all_reduce_sum(totals);
  EXPECT_NEAR(totals[0].item<double>(), expected.item<double>(), 1e-12);
  EXPECT_NEAR(totals[1].item<double>(), dense_scale.grad().item<double>(), 1e-12);
  EXPECT_TRUE(queries.grad().allclose(own_rows(dense_queries.grad(), rows), 1e-11, 1e-13));
}

TEST(ShardedQueue, InfoNceIsTheDenseFormula) {
  for (const double decay : {1.0, 0.9}) {
    ShardedQueue queue(19, kWidth, 3, ranks());
    queue.keys.set_data(queue.keys.to(at::kDouble));
    for (const int64_t count : {6, 4})
      push(queue, values({count, kWidth}, 0.3 * static_cast<double>(count), at::kDouble));
    const at::Tensor keys = all_keys(queue);
    const at::Tensor ages = ranks().all_gather(queue.ages(), queue.rows());
    const at::Tensor positives = values({9, kWidth}, 2.3, at::kDouble);
    expect_shares_of(
        values({9, kWidth}, 1.1, at::kDouble),
        [&](const at::Tensor& queries, const at::Tensor& scale) {
          return dense_info_nce(queries, positives, keys, ages, scale, decay).mean();
        },
        [&](const at::Tensor& queries, const at::Tensor& scale, const std::vector<int64_t>& rows) {
          return global_queue_info_nce(
              queries, own_rows(positives, rows), queue, scale, rows, ranks(), [](const char*) {},
              {}, decay);
        });
  }
}

TEST(ShardedQueue, BatchInfoNceIsTheDenseFormulaByGatherAndRing) {
  const at::Tensor keys = values({9, kWidth}, 2.3, at::kDouble);
  for (const Exchange exchange : {Exchange::kGather, Exchange::kRing})
    expect_shares_of(
        values({9, kWidth}, 1.1, at::kDouble),
        [&](const at::Tensor& queries, const at::Tensor& scale) {
          return -at::log_softmax(queries.mm(keys.t()) * scale, 1).diagonal().mean();
        },
        [&](const at::Tensor& queries, const at::Tensor& scale, const std::vector<int64_t>& rows) {
          return global_info_nce(queries, own_rows(keys, rows), scale, rows, ranks(),
                                 [](const char*) {}, {.exchange = exchange});
        });
}

}  // namespace
}  // namespace cltrain
