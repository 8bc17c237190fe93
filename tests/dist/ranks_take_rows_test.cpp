#include "dist/take_rows.h"
#include "support/ranks.h"

#include <numeric>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::world;

TEST(TakeRows, FromEveryRankInAnyOrder) {
  // Rank r has r rows: rank 0 none, and all of them wanted by some, several times, by others not.
  std::vector<int64_t> rows;
  for (int rank = 0; rank < world().size; ++rank) rows.push_back(rank + (world().size == 1));
  const auto total = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  const auto first = std::accumulate(rows.begin(), rows.begin() + world().rank, int64_t{0});
  const at::Tensor all = at::arange(total * 6, at::kFloat).view({total, 2, 3});
  const at::Tensor local = all.narrow(0, first, rows[static_cast<size_t>(world().rank)]);
  std::vector<int64_t> wanted;
  for (int64_t i = 0; i < 2 * world().rank; ++i) wanted.push_back((7 * i + 3) % total);
  const at::Tensor found = take_rows(local, wanted, rows, *all_ranks().loss);
  EXPECT_EQ(found.sizes(), (at::IntArrayRef{static_cast<int64_t>(wanted.size()), 2, 3}));
  EXPECT_TRUE(found.equal(all.index_select(0, at::tensor(wanted, at::kLong))));
}

}  // namespace
}  // namespace cltrain
