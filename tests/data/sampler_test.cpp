#include "data/sampler.h"

#include <algorithm>
#include <stdexcept>
#include <utility>
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

/// By hand: 7 rows in chunks of 3 are 0-2, 3-5 and 6; of two ranks the first gets the smaller half.
TEST(CutBatch, CutsChunksFirstAndThenRanks) {
  const BatchCut cut = cut_batch(7, 3, 2);
  ASSERT_EQ(cut.chunks(), 3);
  const std::vector<std::vector<std::pair<int64_t, int64_t>>> expected = {
      {{0, 1}, {1, 3}}, {{3, 4}, {4, 6}}, {{6, 6}, {6, 7}}};
  for (size_t chunk = 0; chunk < 3; ++chunk)
    for (size_t rank = 0; rank < 2; ++rank) {
      EXPECT_EQ(cut.share[chunk][rank].begin, expected[chunk][rank].first);
      EXPECT_EQ(cut.share[chunk][rank].end, expected[chunk][rank].second);
    }
  EXPECT_EQ(cut.chunk_rows(1), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(cut.chunk_rows(2), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(cut.rank_rows(), (std::vector<int64_t>{2, 5}));
  EXPECT_EQ(cut.rank_rows(5), (std::vector<int64_t>{2, 3}));
  // Rank 0 has rows 0, 3; rank 1 has 1, 2, 4, 5, 6.
  EXPECT_EQ(cut.gathered_places(), (std::vector<int64_t>{0, 2, 3, 1, 4, 5, 6}));
}

TEST(CutBatch, HoldsEveryRowOnceAtAnySize) {
  for (const int64_t rows : {0, 1, 2, 5, 26, 97})
    for (const int64_t micro_batch : {0, 1, 2, 3, 8, 26, 97, 1000})
      for (const int world_size : {1, 2, 3, 4, 8}) {
        const BatchCut cut = cut_batch(rows, micro_batch, world_size);
        const int64_t size = micro_batch == 0 ? std::max<int64_t>(rows, 1) : micro_batch;
        ASSERT_EQ(cut.chunks(), std::max<int64_t>((rows + size - 1) / size, 1));
        int64_t next = 0;
        std::vector<std::vector<int64_t>> held(static_cast<size_t>(world_size));
        for (int64_t chunk = 0; chunk < cut.chunks(); ++chunk) {
          const auto& shares = cut.share[static_cast<size_t>(chunk)];
          const int64_t count = std::min(size, rows - chunk * size);
          ASSERT_EQ(static_cast<int>(shares.size()), world_size);
          for (int rank = 0; rank < world_size; ++rank) {
            const RowRange share = shares[static_cast<size_t>(rank)];
            const RowRange within = rank_share(count, rank, world_size);
            EXPECT_EQ(share.begin, next);
            EXPECT_EQ(share.begin, chunk * size + within.begin);
            EXPECT_EQ(share.count(), within.count());
            next = share.end;
            for (int64_t row = share.begin; row < share.end; ++row)
              held[static_cast<size_t>(rank)].push_back(row);
          }
        }
        EXPECT_EQ(next, rows);
        for (const int64_t leading : {int64_t{0}, int64_t{1}, int64_t{4}, rows, int64_t{1} << 40}) {
          const std::vector<int64_t> counts = cut.rank_rows(leading);
          for (size_t rank = 0; rank < held.size(); ++rank) {
            EXPECT_TRUE(std::is_sorted(held[rank].begin(), held[rank].end()));
            EXPECT_EQ(counts[rank], std::count_if(held[rank].begin(), held[rank].end(),
                                                  [&](int64_t row) { return row < leading; }));
          }
        }
        std::vector<int64_t> gathered;
        for (const auto& of_rank : held)
          gathered.insert(gathered.end(), of_rank.begin(), of_rank.end());
        const std::vector<int64_t> places = cut.gathered_places();
        ASSERT_EQ(static_cast<int64_t>(places.size()), rows);
        for (int64_t row = 0; row < rows; ++row)
          EXPECT_EQ(gathered[static_cast<size_t>(places[static_cast<size_t>(row)])], row);
      }
}

TEST(CutBatch, OneChunkKeepsTheOrderOfTheBatch) {
  for (const int64_t micro_batch : {0, 26, 27}) {
    const BatchCut cut = cut_batch(26, micro_batch, 4);
    ASSERT_EQ(cut.chunks(), 1);
    EXPECT_EQ(cut.rank_rows(), (std::vector<int64_t>{6, 7, 6, 7}));
    const std::vector<int64_t> places = cut.gathered_places();
    for (size_t row = 0; row < 26; ++row) EXPECT_EQ(places[row], static_cast<int64_t>(row));
  }
  EXPECT_THROW(cut_batch(-1, 0, 1), std::invalid_argument);
  EXPECT_THROW(cut_batch(5, -1, 1), std::invalid_argument);
  EXPECT_THROW(cut_batch(5, 0, 0), std::invalid_argument);
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
