// GradientSum against one process that holds every rank's rows, and against c10d's own Reducer.
#include "dist/gradient_sum.h"
#include "support/ranks.h"

#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::world;

/// The same small net with the same values on every rank.
struct Net : torch::nn::Module {
  Net() {
    first = register_module("first", torch::nn::Linear(5, 70));
    second = register_module("second", torch::nn::Linear(70, 3));
    unused = register_module("unused", torch::nn::Linear(3, 3));
    int64_t number = 0;
    for (auto& parameter : parameters())
      parameter.set_data(((torch::arange(parameter.numel(), torch::kDouble) + 17 * number++) * 0.7)
                             .sin()
                             .view(parameter.sizes()));
  }
  at::Tensor forward(const at::Tensor& x) {
    return second->forward(torch::tanh(first->forward(x)));
  }
  std::vector<std::pair<std::string, at::Tensor>> named() const {
    std::vector<std::pair<std::string, at::Tensor>> all;
    for (const auto& item : named_parameters()) all.emplace_back(item.key(), item.value());
    return all;
  }
  torch::nn::Linear first{nullptr}, second{nullptr}, unused{nullptr};
};

at::Tensor rows_of(int rank, int64_t rows) {
  return ((torch::arange(rows * 5, torch::kDouble) + 100 * rank) * 0.3).cos().view({rows, 5});
}

int64_t row_count(int rank) {
  return rank == 1 ? 0 : rank + 2;
}

at::Tensor share(Net& net, const at::Tensor& rows) {
  return net.forward(rows).pow(2).sum();
}

void expect_equal_to_one_process(const Net& net, int passes) {
  Net whole;
  for (int r = 0; r < world().size; ++r)
    for (int pass = 0; pass < passes; ++pass) share(whole, rows_of(r, row_count(r))).backward();
  const auto mine = net.named(), theirs = whole.named();
  for (size_t i = 0; i < mine.size(); ++i) {
    const at::Tensor expected = theirs[i].second.grad();
    if (!expected.defined()) {
      EXPECT_EQ(mine[i].second.grad().abs().max().item<double>(), 0) << mine[i].first;
      continue;
    }
    EXPECT_LT(testing::relative_difference(mine[i].second.grad(), expected), 1e-13)
        << mine[i].first;
  }
}

TEST(GradientSum, EqualsOneProcessWithAllRowsWhateverTheBuckets) {
  for (const int64_t bucket_bytes : {1, 700, 1 << 20}) {
    Net net;
    GradientSum sum(net.named(), *all_ranks().gradients, bucket_bytes);
    for (int step = 0; step < 3; ++step) {  // gradients do not pile up over steps
      sum.zero();
      sum.arm();
      share(net, rows_of(world().rank, row_count(world().rank))).backward();
      const auto unreached = sum.finish();
      EXPECT_EQ(unreached, (std::vector<std::string>{"unused.bias", "unused.weight"}));
      expect_equal_to_one_process(net, 1);
    }
  }
}

TEST(GradientSum, EarlierBackwardsAccumulateAndOnlyTheLastReduces) {
  Net net;
  GradientSum sum(net.named(), *all_ranks().gradients, 700);
  sum.zero();
  const at::Tensor rows = rows_of(world().rank, row_count(world().rank));
  share(net, rows).backward();
  share(net, rows).backward();
  sum.arm();
  share(net, rows).backward();
  sum.finish();
  expect_equal_to_one_process(net, 3);
}

TEST(GradientSum, MisuseIsRefused) {
  Net net;
  GradientSum sum(net.named(), *all_ranks().gradients);
  sum.zero();
  EXPECT_THROW(sum.finish(), c10::Error);
}

TEST(GradientSum, EqualsTheReducerOfC10d) {
  Net net;
  GradientSum sum(net.named(), *all_ranks().gradients, 700);
  sum.zero();
  sum.arm();
  const at::Tensor rows = rows_of(world().rank, row_count(world().rank));
  share(net, rows).backward();
  sum.finish();

  Net other;
  const std::vector<at::Tensor> parameters = other.parameters();
  std::vector<size_t> order(parameters.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = order.size() - 1 - i;
  c10d::Reducer reducer(parameters, {order}, all_ranks().gradients->group(),
                        std::vector<bool>(parameters.size(), false), 1 << 20,
                        /*find_unused_parameters=*/true, /*gradient_as_bucket_view=*/true, {},
                        1 << 20, false, false, {});
  const at::Tensor loss = share(other, rows);
  reducer.prepare_for_backward({loss});
  loss.backward();
  const auto mine = net.named(), theirs = other.named();
  for (size_t i = 0; i < mine.size(); ++i) {
    if (mine[i].first.rfind("unused", 0) == 0) continue;
    // The Reducer divides by the number of ranks.
    const at::Tensor total = theirs[i].second.grad() * static_cast<double>(world().size);
    EXPECT_LT(testing::relative_difference(mine[i].second.grad(), total), 1e-13) << mine[i].first;
  }
}

}  // namespace
}  // namespace cltrain
