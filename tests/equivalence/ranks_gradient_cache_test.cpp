// Gradient caching over ranks: W ranks train as one rank does with the same chunks; without batch
// norm, whose statistics are a chunk's, the chunks do not matter either.
// 16 samples in batches of 7, 7 and 2, in chunks of 3: 3, 3 and 1, and then 2; or of 4: 4, 3,
// and 2.
#include "equivalence/steps.h"
#include "support/ranks.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::expect_equivalent;
using testing::Setting;
using testing::small_conv;
using testing::Trace;
using testing::world;

Setting in_chunks_of(int64_t micro_batch, const std::string& norm) {
  Setting setting = small_conv();
  setting.method.model.norm = norm;
  setting.micro_batch = micro_batch;
  return setting;
}

TEST(EquivalenceGradientCache, SyncBatchNormAtAnyNumberOfRanks) {
  expect_equivalent(in_chunks_of(4, "sync"));
}

// Batch norm over the two views of a chunk of one row is ill-conditioned: on one rank, a change of
// the temperature by 1e-14 has become 4e-10 of a gradient after one update, as much as the ranks'
// rounding becomes. So what is compared here is one step, which agrees to 1e-13.
TEST(EquivalenceGradientCache, SyncBatchNormOverAChunkOfOneRow) {
  Setting setting = in_chunks_of(3, "sync");
  setting.steps = 1;
  expect_equivalent(setting);
}

TEST(EquivalenceGradientCache, GroupNormAtAnyNumberOfRanks) {
  expect_equivalent(in_chunks_of(3, "group"));
}

TEST(EquivalenceGradientCache, Resnet18AtAnyNumberOfRanks) {
  Setting setting = testing::resnet18();
  setting.micro_batch = 4;
  setting.steps = 2;
  expect_equivalent(setting);
}

TEST(EquivalenceGradientCache, WithGroupNormChunksChangeNothing) {
  const Trace whole = testing::run_steps(in_chunks_of(0, "group"), all_ranks());
  for (const int64_t micro_batch : {1, 3, 6}) {
    SCOPED_TRACE("chunks of " + std::to_string(micro_batch));
    testing::expect_same_trace(testing::run_steps(in_chunks_of(micro_batch, "group"), all_ranks()),
                               whole, 1e-9);
  }
}

TEST(EquivalenceGradientCache, AChunkAsLargeAsTheBatchChangesNoBit) {
  const Trace whole = testing::run_steps(in_chunks_of(0, "sync"), all_ranks());
  testing::expect_same_trace(testing::run_steps(in_chunks_of(7, "sync"), all_ranks()), whole, 0);
}

// The comparisons above can fail: batch norm over a chunk is another function than over the batch.
TEST(EquivalenceGradientCache, BatchNormIsThatOfTheChunk) {
  Setting whole = in_chunks_of(0, "sync"), chunks = in_chunks_of(3, "sync");
  whole.steps = chunks.steps = 1;
  EXPECT_GT(std::abs(testing::run_steps(whole, all_ranks()).losses[0] -
                     testing::run_steps(chunks, all_ranks()).losses[0]),
            1e-6);
}

TEST(EquivalenceGradientCache, TheTestHasUnevenAndEmptyChunks) {
  const Trace trace = testing::run_steps(in_chunks_of(3, "group"), all_ranks());
  ASSERT_EQ(trace.cuts[0].chunks(), 3);
  ASSERT_EQ(trace.cuts[2].chunks(), 1);
  if (world().size == 1) return;
  const std::vector<int64_t> last = trace.cuts[0].chunk_rows(2), all = trace.cuts[0].rank_rows();
  EXPECT_EQ(*std::min_element(last.begin(), last.end()), 0);
  EXPECT_EQ(*std::max_element(last.begin(), last.end()), 1);
  EXPECT_NE(*std::min_element(all.begin(), all.end()), *std::max_element(all.begin(), all.end()));
}

TEST(EquivalenceGradientCache, EveryRankHoldsTheSameBits) {
  testing::expect_same_bits_on_every_rank(
      testing::run_steps(in_chunks_of(3, "sync"), all_ranks()).state);
}

}  // namespace
}  // namespace cltrain
