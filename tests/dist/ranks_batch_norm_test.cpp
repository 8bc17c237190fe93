// Sync batch norm over ranks against ATen's batch norm of all rows in one process, float64.
#include "dist/sync_batch_norm.h"
#include "support/ranks.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/native_batch_norm.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::relative_difference;
using testing::world;

std::vector<int64_t> shape_of(int64_t rows, bool planes) {
  return planes ? std::vector<int64_t>{rows, 6, 3, 5} : std::vector<int64_t>{rows, 6};
}

at::Tensor values(int rank, int64_t rows, bool planes, double phase) {
  const int64_t inner = planes ? 15 : 1;
  return ((at::arange(rows * 6 * inner, at::kDouble) + 1000.0 * rank) * 0.37 + phase)
      .sin()
      .add(3.0 * rank)  // means differ by rank: statistics of one rank would be far off
      .view(shape_of(rows, planes));
}

void compare(const std::vector<int64_t>& rows, bool planes) {
  at::Tensor weight = (at::arange(6, at::kDouble) * 0.5 + 1).requires_grad_();
  at::Tensor bias = (at::arange(6, at::kDouble) * 0.1).requires_grad_();
  at::Tensor x = values(world().rank, rows[world().rank], planes, 0).requires_grad_();
  const at::Tensor dy = values(world().rank, rows[world().rank], planes, 1);
  BatchStatistics statistics;
  const at::Tensor y = sync_batch_norm(x, weight, bias, 1e-5, all_ranks().loss.get(), statistics);
  y.backward(dy);
  at::Tensor dweight = weight.grad().clone(), dbias = bias.grad().clone();
  all_ranks().loss->all_reduce_sum(dweight);
  all_ranks().loss->all_reduce_sum(dbias);

  std::vector<at::Tensor> all_x, all_dy;
  for (int r = 0; r < world().size; ++r) {
    all_x.push_back(values(r, rows[r], planes, 0));
    all_dy.push_back(values(r, rows[r], planes, 1));
  }
  at::Tensor whole = at::cat(all_x).requires_grad_();
  at::Tensor whole_weight = weight.detach().clone().requires_grad_();
  at::Tensor whole_bias = bias.detach().clone().requires_grad_();
  at::Tensor mean = at::zeros({6}, at::kDouble), variance = at::zeros({6}, at::kDouble);
  const at::Tensor expected = std::get<0>(at::native_batch_norm(
      whole, whole_weight, whole_bias, mean, variance, /*training=*/true, /*momentum=*/1.0, 1e-5));
  expected.backward(at::cat(all_dy));
  int64_t first = 0;
  for (int r = 0; r < world().rank; ++r) first += rows[r];
  const int64_t count = rows[world().rank];
  EXPECT_LT(relative_difference(y, expected.narrow(0, first, count)), 1e-12);
  EXPECT_LT(relative_difference(x.grad(), whole.grad().narrow(0, first, count)), 1e-9);
  EXPECT_LT(relative_difference(dweight, whole_weight.grad()), 1e-12);
  EXPECT_LT(relative_difference(dbias, whole_bias.grad()), 1e-12);
  EXPECT_LT(relative_difference(statistics.mean, mean), 1e-12);
  EXPECT_LT(relative_difference(statistics.unbiased_variance, variance), 1e-12);
}

TEST(SyncBatchNorm, EqualsOneProcessForEvenUnevenAndEmptyShares) {
  std::vector<int64_t> even(world().size, 4), uneven(world().size), one(world().size, 0);
  for (int r = 0; r < world().size; ++r) uneven[r] = r % 2 == 1 ? 0 : 3 + r;
  one.back() = 2;
  for (const auto& rows : {even, uneven, one})
    for (const bool planes : {false, true}) compare(rows, planes);
}

}  // namespace
}  // namespace cltrain
