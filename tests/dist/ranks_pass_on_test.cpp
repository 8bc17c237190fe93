// Communicator::pass_on, the step of a ring: blocks of different sizes, none, and large ones, many
// times round.
#include "support/ranks.h"

#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::world;

int owner_after(int steps) {
  return ((world().rank - steps) % world().size + world().size) % world().size;
}

/// Rows of `rank`: distinct for every rank, row and column.
at::Tensor block_of(int rank, const std::vector<int64_t>& rows, int64_t width,
                    at::ScalarType type) {
  return (at::arange(rows[rank] * width, at::kDouble).remainder(97) + 100.0 * rank)
      .view({rows[rank], width})
      .to(type);
}

/// Passes every block `steps` ranks on and checks each that comes by.
void expect_ring(const std::vector<int64_t>& rows, int64_t width, at::ScalarType type, int steps) {
  SCOPED_TRACE(::testing::Message()
               << ::testing::PrintToString(rows) << " x " << width << " of " << type);
  at::Tensor block = block_of(world().rank, rows, width, type);
  for (int step = 1; step <= steps; ++step) {
    at::Tensor next = at::full({rows[owner_after(step)], width}, -1, block.options());
    const at::Tensor before = block.clone();
    InFlight moving = all_ranks().loss->pass_on(block, next);
    // A reader of the block on its way, as the tiles are.
    EXPECT_TRUE(block.equal(before));
    moving.wait();
    block = next;
    EXPECT_TRUE(block.equal(block_of(owner_after(step), rows, width, type))) << "step " << step;
  }
}

TEST(RingContrastPassOn, UnevenAndEmptyBlocksManyTimesRound) {
  const int ranks = world().size;
  std::vector<int64_t> uneven, alternate, last(ranks, 0), none(ranks, 0);
  for (int r = 0; r < ranks; ++r) {
    uneven.push_back(3 * r + 1);
    alternate.push_back(r % 2 == 0 ? 0 : 50);
  }
  last[ranks - 1] = 7;
  for (const auto& rows : {uneven, alternate, last, none})
    for (const auto type : {at::kFloat, at::kDouble, at::kBFloat16, at::kLong})
      expect_ring(rows, 5, type, 3 * ranks);
}

TEST(RingContrastPassOn, BlocksOfEightMegabytes) {
  // Longer than what MPI sends without asking: such messages move inside wait() only.
  std::vector<int64_t> rows(world().size, 8192);
  expect_ring(rows, 256, at::kFloat, 2 * world().size);
  rows[0] = 3;
  expect_ring(rows, 256, at::kFloat, world().size);
}

TEST(RingContrastPassOn, CountsWhatItSends) {
  const auto kind = static_cast<size_t>(Collective::kSendReceive);
  const int64_t before = all_ranks().loss->traffic()[kind].bytes;
  expect_ring(std::vector<int64_t>(world().size, 6), 5, at::kFloat, 4);
  EXPECT_EQ(all_ranks().loss->traffic()[kind].bytes - before, 4 * 6 * 5 * 4);
}

TEST(RingContrastPassOn, BlocksWithGapsAreRefused) {
  const at::Tensor whole = at::ones({4, 6}), gaps = whole.narrow(1, 0, 3);
  EXPECT_THROW(all_ranks().loss->pass_on(gaps, at::empty({4, 3})), c10::Error);
  EXPECT_THROW(all_ranks().loss->pass_on(at::empty({4, 3}), gaps), c10::Error);
  expect_ring(std::vector<int64_t>(world().size, 6), 5, at::kFloat, world().size);
}

}  // namespace
}  // namespace cltrain
