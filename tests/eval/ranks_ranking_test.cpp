// Ranking over several ranks: each user once, the same figures to the last bit.
#include "support/ranks.h"
#include "tests/eval/ranking_cases.h"

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::world;

// Uneven: rank r has twice the users of rank r - 1, and the first of several has none.
RankingQueries uneven_share(const RankingQueries& all) {
  const int64_t users = all.answers.size(0), parts = (int64_t{1} << (world().size - 1)) - 1;
  const auto bound = [&](int64_t rank) {
    if (world().size == 1) return rank * users;
    return rank == 0 ? 0 : users * ((int64_t{1} << (rank - 1)) - 1) / parts;
  };
  return testing::users_of(all, bound(world().rank), bound(world().rank + 1));
}

TEST(RankingOverRanks, IsTheSameAtAnyNumberOfRanks) {
  const testing::RankingCase c = testing::ranking_case(203, 700, 24, 0);
  const auto sampler =
      std::make_shared<NegativeSampler>(698, 100, random_key(5, Purpose::kProbe, 0));
  const auto alone = testing::alone();
  for (const char* history : {"zero", "exclude", "keep"})
    for (const auto& negatives : {std::shared_ptr<NegativeSampler>(), sampler}) {
      const ItemRanking ranking(c.items, {history, "items"}, negatives);
      const RankingResult one = rank_answers(ranking, c.queries, *alone->control);
      const RankingResult all =
          rank_answers(ranking, uneven_share(c.queries), *all_ranks().control);
      EXPECT_EQ(named_values(all), named_values(one));
      EXPECT_EQ(all.users, 203);
      EXPECT_EQ(all.answers_in_history, one.answers_in_history);
      EXPECT_GT(one.answers_in_history, 0);
      EXPECT_GT(one.mrr, 0);
    }
}

TEST(RankingOverRanks, BatchesAddUp) {
  const testing::RankingCase c = testing::ranking_case(101, 300, 8, 2);
  const ItemRanking ranking(c.items, {});
  const auto alone = testing::alone();
  const RankingQueries mine = uneven_share(c.queries);
  RankingTally tally = ranking.tally();
  for (int64_t begin = 0; begin < mine.answers.size(0); begin += 9)
    tally.add(ranking.rank(
        testing::users_of(mine, begin, std::min<int64_t>(begin + 9, mine.answers.size(0)))));
  EXPECT_EQ(named_values(tally.total(*all_ranks().control)),
            named_values(rank_answers(ranking, c.queries, *alone->control)));
}

}  // namespace
}  // namespace cltrain
