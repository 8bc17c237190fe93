#include "data/sampler.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

TEST(EpochOrder, IsAPermutation) {
  for (const int64_t size : {0, 1, 2, 3, 1000, 60000}) {
    std::vector<int64_t> order = epoch_order(1, 0, size);
    std::sort(order.begin(), order.end());
    ASSERT_EQ(static_cast<int64_t>(order.size()), size);
    for (int64_t at = 0; at < size; ++at) ASSERT_EQ(order[static_cast<size_t>(at)], at);
  }
}

TEST(EpochOrder, DependsOnSeedAndEpochAlone) {
  EXPECT_EQ(epoch_order(1, 2, 500), epoch_order(1, 2, 500));
  EXPECT_NE(epoch_order(1, 2, 500), epoch_order(1, 3, 500));
  EXPECT_NE(epoch_order(1, 2, 500), epoch_order(2, 2, 500));
}

/// The numbers are what other versions of this program draw: a change breaks every resume.
TEST(EpochOrder, StaysWhatItIs) {
  EXPECT_EQ(epoch_order(1, 0, 10), (std::vector<int64_t>{0, 7, 8, 2, 5, 3, 1, 4, 9, 6}));
  EXPECT_EQ(epoch_order(42, 7, 10), (std::vector<int64_t>{4, 9, 8, 0, 5, 3, 1, 2, 6, 7}));
}

/// Each of the 24 orders of four samples: chi-square with 23 degrees of freedom, p = 1e-4 at 55.5.
TEST(EpochOrder, IsUnbiased) {
  constexpr int kEpochs = 24000;
  std::vector<int> counts(256);
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    const auto order = epoch_order(5, epoch, 4);
    ++counts[static_cast<size_t>(order[0] * 64 + order[1] * 16 + order[2] * 4 + order[3])];
  }
  double chi_square = 0;
  int kinds = 0;
  for (const int count : counts)
    if (count > 0) {
      ++kinds;
      chi_square += (count - kEpochs / 24.0) * (count - kEpochs / 24.0) / (kEpochs / 24.0);
    }
  EXPECT_EQ(kinds, 24);
  EXPECT_LT(chi_square, 55.5);
}

TEST(RankShare, CutsInOrderWithoutGaps) {
  for (const int64_t rows : {0, 1, 2, 5, 26, 97, 4096})
    for (const int world_size : {1, 2, 3, 4, 8}) {
      int64_t next = 0, smallest = rows, largest = 0;
      for (int rank = 0; rank < world_size; ++rank) {
        const RowRange share = rank_share(rows, rank, world_size);
        EXPECT_EQ(share.begin, next);
        EXPECT_EQ(share.begin, rank * rows / world_size);
        smallest = std::min(smallest, share.count());
        largest = std::max(largest, share.count());
        next = share.end;
      }
      EXPECT_EQ(next, rows);
      EXPECT_LE(largest - smallest, 1);
    }
  EXPECT_THROW(rank_share(5, 3, 3), std::invalid_argument);
  EXPECT_THROW(rank_share(5, -1, 3), std::invalid_argument);
}

TEST(StepsPerEpoch, CountsTheShortBatchUnlessDropped) {
  EXPECT_EQ(steps_per_epoch(9754, 512, false), 20);
  EXPECT_EQ(steps_per_epoch(9754, 512, true), 19);
  EXPECT_EQ(steps_per_epoch(1024, 512, false), 2);
  EXPECT_EQ(steps_per_epoch(3, 512, true), 0);
  EXPECT_THROW(steps_per_epoch(3, 0, true), std::invalid_argument);
}

}  // namespace
}  // namespace cltrain
