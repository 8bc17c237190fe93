// Sync batch norm of bfloat16, with the ReLU and the sum before it, over ranks: against the formula
// in float64 on all rows in one process.
#include "dist/sync_batch_norm.h"
#include "support/ranks.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::world;

constexpr int64_t kChannels = 6;

at::Tensor values(int rank, int64_t rows, double phase, double offset) {
  const at::Tensor i = at::arange(rows * kChannels * 15, at::kDouble) + 1000.0 * rank;
  return (i * 0.37 + phase).sin().add(offset).to(at::kBFloat16).view({rows, kChannels, 3, 5});
}

void compare(const std::vector<int64_t>& rows) {
  std::vector<at::Tensor> all_x, all_addend, all_dy;
  for (int r = 0; r < world().size; ++r) {
    all_x.push_back(values(r, rows[r], 0, 3.0 * r));  // means differ by rank
    all_addend.push_back(values(r, rows[r], 2, 0.25));
    all_dy.push_back(values(r, rows[r], 1, 0));
  }
  const int rank = world().rank;
  const at::Tensor weight = (at::arange(kChannels, at::kFloat) * 0.5 + 1).requires_grad_();
  const at::Tensor bias = (at::arange(kChannels, at::kFloat) * 0.1).requires_grad_();
  const at::Tensor x = all_x[rank].detach().clone().requires_grad_();
  const at::Tensor addend = all_addend[rank].detach().clone().requires_grad_();
  BatchStatistics statistics;
  const at::Tensor y =
      sync_batch_norm_relu(x, addend, weight, bias, 1e-5, all_ranks().loss.get(), statistics);
  y.backward(all_dy[rank]);
  at::Tensor dweight = weight.grad().to(at::kDouble), dbias = bias.grad().to(at::kDouble);
  all_ranks().loss->all_reduce_sum(dweight);
  all_ranks().loss->all_reduce_sum(dbias);

  const auto column = [](const at::Tensor& v) {
    return v.detach().to(at::kDouble).view({1, kChannels, 1, 1});
  };
  const at::Tensor whole = at::cat(all_x).to(at::kDouble).requires_grad_();
  const at::Tensor whole_weight = column(weight).requires_grad_();
  const at::Tensor whole_bias = column(bias).requires_grad_();
  const at::Tensor centred = whole - whole.mean({0, 2, 3}, true);
  const at::Tensor inverse = (centred.square().mean({0, 2, 3}, true) + 1e-5).rsqrt();
  const at::Tensor expected =
      at::relu(centred * inverse * whole_weight + whole_bias + at::cat(all_addend).to(at::kDouble));
  expected.backward(at::cat(all_dy).to(at::kDouble));
  EXPECT_LT((dweight - whole_weight.grad().view(-1)).abs().max().item<double>(), 1e-3);
  EXPECT_LT((dbias - whole_bias.grad().view(-1)).abs().max().item<double>(), 1e-3);
  EXPECT_LT((statistics.mean - whole.detach().mean({0, 2, 3})).abs().max().item<double>(), 1e-5);

  int64_t first = 0;
  for (int r = 0; r < rank; ++r) first += rows[r];
  const auto expect_rounded = [&](const at::Tensor& found, const at::Tensor& all) {
    const at::Tensor mine = all.narrow(0, first, rows[rank]);
    ASSERT_EQ(found.scalar_type(), at::kBFloat16);
    ASSERT_EQ(found.sizes(), mine.sizes());
    if (mine.numel() == 0) return;
    const at::Tensor error = (found.to(at::kDouble) - mine).abs();
    EXPECT_LE((error - mine.abs() / 256).max().item<double>(), 3e-5);
  };
  expect_rounded(y.detach(), expected.detach());
  expect_rounded(x.grad(), whole.grad());
}

TEST(SyncBatchNorm, Bfloat16EqualsOneProcessForEvenUnevenAndEmptyShares) {
  std::vector<int64_t> even(world().size, 4), uneven(world().size), one(world().size, 0);
  for (int r = 0; r < world().size; ++r) uneven[r] = r % 2 == 1 ? 0 : 3 + r;
  one.back() = 2;
  for (const auto& rows : {even, uneven, one}) compare(rows);
}

}  // namespace
}  // namespace cltrain
