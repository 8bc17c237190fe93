// Ranking and recommending on a GPU are what they are on the CPU. Built with CUDA, registered only
// where a GPU is. Whole numbers, so that no product rounds.
#ifdef CLTRAIN_CUDA
#include "eval/recommend.h"
#include "tests/eval/ranking_cases.h"
#include "tests/support/cuda_case.h"

#include <c10/cuda/CUDAFunctions.h>

namespace cltrain {
namespace {

void ranks_are_those_of_the_cpu() {
  const testing::RankingCase c = testing::ranking_case(700, 300, 16, 2);
  RankingQueries there = c.queries;
  there.representations = there.representations.cuda();
  const auto sampler =
      std::make_shared<NegativeSampler>(298, 100, random_key(5, Purpose::kProbe, 0));
  for (const char* history : {"zero", "exclude", "keep"})
    for (const char* candidates : {"all_ids", "items"})
      for (const auto& negatives : {std::shared_ptr<NegativeSampler>(), sampler}) {
        const RankingOptions options{history, candidates};
        EXPECT_TRUE(at::equal(ItemRanking(c.items.cuda(), options, negatives).rank(there).rank,
                              ItemRanking(c.items, options, negatives).rank(c.queries).rank))
            << history << " " << candidates;
      }
}

void recommendations_are_those_of_the_cpu() {
  const testing::RankingCase c = testing::ranking_case(700, 300, 16, 2);
  const ItemLists& seen = c.queries.history;
  const Recommendations cpu = Recommender(c.items).best(c.queries.representations, 20, seen);
  const Recommendations gpu =
      Recommender(c.items.cuda()).best(c.queries.representations.cuda(), 20, seen);
  EXPECT_TRUE(at::equal(cpu.items, gpu.items));
  EXPECT_TRUE(at::equal(cpu.scores, gpu.scores));
}

const bool registered = [] {
  if (c10::cuda::device_count() == 0) return false;  // tests/ops/cuda_test.cpp says so
  testing::add_cuda_case("RankingCuda", "RanksAreThoseOfTheCpu", ranks_are_those_of_the_cpu);
  testing::add_cuda_case("RankingCuda", "RecommendationsAreThoseOfTheCpu",
                         recommendations_are_those_of_the_cpu);
  return true;
}();

}  // namespace
}  // namespace cltrain
#endif
