// Ranks and measures against float64 loops and against figures worked out by hand.
#include "tests/eval/one_rank.h"
#include "tests/eval/ranking_cases.h"

#include <cmath>
#include <limits>

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::candidate_ids;
using testing::lists_of;
using testing::numbers;
using testing::rank_by_loops;
using testing::ranking_case;
using testing::RankingCase;
using testing::users_of;

at::Tensor longs(const std::vector<int64_t>& values) {
  return at::tensor(values, at::kLong);
}

struct Protocol {
  std::string history, candidates;
};
const std::vector<Protocol> kProtocols{{"zero", "all_ids"},    {"zero", "items"},
                                       {"exclude", "all_ids"}, {"exclude", "items"},
                                       {"keep", "all_ids"},    {"keep", "items"}};

struct Shape {
  int64_t users, table, width, range;
};
class Ranking : public ::testing::TestWithParam<Shape> {};

TEST_P(Ranking, IsThatOfSortingTiesHistoriesAndRepeatsIncluded) {
  const auto [users, table, width, range] = GetParam();
  const RankingCase c = ranking_case(users, table, width, range);
  int64_t misses = 0;
  for (const auto& [history, candidates] : kProtocols) {
    const RankingOptions options{history, candidates};
    const AnswerRanks tiles = ItemRanking(c.items, options).rank(c.queries);
    RankingQueries wide = c.queries;
    wide.representations = wide.representations.to(at::kDouble);
    const AnswerRanks torch = ItemRanking(c.items.to(at::kDouble), options).rank(wide);
    const std::vector<int64_t> ids = candidate_ids(table, candidates);
    for (int64_t u = 0; u < users; ++u) {
      const int64_t expected = rank_by_loops(c, u, history, ids).rank;
      EXPECT_EQ(tiles.rank[u].item<int64_t>(), expected)
          << history << " " << candidates << " " << u;
      EXPECT_EQ(torch.rank[u].item<int64_t>(), expected)
          << history << " " << candidates << " " << u;
      misses += expected == 0;
    }
    EXPECT_EQ(tiles.answers_in_history, torch.answers_in_history);
  }
  EXPECT_TRUE(misses > 0 || users < 10);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Ranking,
                         ::testing::Values(Shape{1, 3, 1, 2}, Shape{40, 49, 1, 3},
                                           Shape{23, 50, 5, 2}, Shape{37, 98, 16, 1},
                                           Shape{60, 145, 7, 3}, Shape{9, 300, 3, 50}));

TEST(RankingOfRealVectors, IsThatOfSortingWhereRoundingCannotDecide) {
  const RankingCase c = ranking_case(60, 500, 33, 0);
  int64_t compared = 0;
  for (const auto& [history, candidates] : kProtocols) {
    const AnswerRanks found = ItemRanking(c.items, {history, candidates}).rank(c.queries);
    for (int64_t u = 0; u < 60; ++u) {
      const auto expected = rank_by_loops(c, u, history, candidate_ids(500, candidates));
      if (expected.nearest < 1e-4) continue;
      EXPECT_EQ(found.rank[u].item<int64_t>(), expected.rank) << history << " " << u;
      ++compared;
    }
  }
  EXPECT_GT(compared, 280);
}

// Rows that are equal tie to the last bit, although the answer's score and those of the history are
// not computed in the tiles: else ranks would be a matter of rounding.
TEST(RankingOfRealVectors, EqualRowsTieWhereverTheyAre) {
  for (const int64_t width : {1, 31, 64, 257}) {
    RankingCase c = ranking_case(300, 350, width, 0);
    c.items = numbers(1, width, 0, 9).expand({350, width});
    for (const char* candidates : {"all_ids", "items"}) {
      const int64_t first = candidates == std::string("items");
      const AnswerRanks keep = ItemRanking(c.items, {"keep", candidates}).rank(c.queries);
      EXPECT_TRUE(at::equal(keep.rank, c.queries.answers + 1 - first));
      const AnswerRanks without = ItemRanking(c.items, {"exclude", candidates}).rank(c.queries);
      for (int64_t u = 0; u < 300; ++u) {
        const int64_t answer = c.queries.answers[u].item<int64_t>();
        const auto list = c.queries.history.of(u);
        const std::set<int32_t> seen(list.begin(), list.end());
        const int64_t before =
            std::count_if(seen.begin(), seen.end(), [&](int32_t id) { return id < answer; });
        EXPECT_EQ(without.rank[u].item<int64_t>(),
                  seen.count(static_cast<int32_t>(answer)) ? 0 : answer + 1 - first - before);
      }
    }
  }
}

TEST(RankingOfRealVectors, DependsNeitherOnThreadsNorOnBatches) {
  const RankingCase c = ranking_case(401, 1000, 37, 0);
  const auto sampler =
      std::make_shared<NegativeSampler>(998, 50, random_key(3, Purpose::kProbe, 0));
  const int before = at::get_num_threads();
  for (const auto& [history, candidates] : kProtocols)
    for (const auto& negatives : {std::shared_ptr<NegativeSampler>(), sampler}) {
      at::set_num_threads(1);
      const ItemRanking ranking(c.items, {history, candidates}, negatives);
      const at::Tensor one = ranking.rank(c.queries).rank;
      at::set_num_threads(3);
      EXPECT_TRUE(at::equal(
          ItemRanking(c.items, {history, candidates}, negatives).rank(c.queries).rank, one));
      for (const int64_t batch : {1, 7, 130, 256}) {
        for (int64_t begin = 0; begin < 401; begin += batch) {
          const int64_t end = std::min<int64_t>(401, begin + batch);
          ASSERT_TRUE(at::equal(ranking.rank(users_of(c.queries, begin, end)).rank,
                                one.narrow(0, begin, end - begin)));
        }
      }
    }
  at::set_num_threads(before);
}

// Items 1 .. 4 with scores 4 3 2 1, pad 0, reserved 9; three users:
//   answer 1, nothing seen; answer 3, seen 1 1 2; answer 2, seen 2 4 (bought again).
TEST(RankingByHand, HasTheFiguresOfTheProtocol) {
  const auto alone = testing::one_rank();
  const at::Tensor items = at::tensor({0.0F, 4.0F, 3.0F, 2.0F, 1.0F, 9.0F}).unsqueeze(1);
  const RankingQueries queries{at::ones({3, 1}), longs({1, 3, 2}),
                               lists_of({{}, {1, 1, 2}, {2, 4}})};
  const auto ranks = [&](const char* history, const char* candidates) {
    return ItemRanking(items, {history, candidates}).rank(queries).rank;
  };
  EXPECT_TRUE(at::equal(ranks("keep", "items"), longs({1, 3, 2})));
  EXPECT_TRUE(at::equal(ranks("keep", "all_ids"), longs({2, 4, 3})));
  EXPECT_TRUE(at::equal(ranks("zero", "items"), longs({1, 1, 3})));    // 4 2 | 2 and 4 have 0
  EXPECT_TRUE(at::equal(ranks("zero", "all_ids"), longs({2, 2, 5})));  // the pad has 0 too
  EXPECT_TRUE(at::equal(ranks("exclude", "items"), longs({1, 1, 0})));
  EXPECT_TRUE(at::equal(ranks("exclude", "all_ids"), longs({2, 2, 0})));
  const RankingResult result =
      rank_answers(ItemRanking(items, {"zero", "items", {1, 2, 3}}), queries, *alone);
  EXPECT_EQ(result.protocol, "full");
  EXPECT_EQ(result.users, 3);
  EXPECT_EQ(result.answers_in_history, 1);
  ASSERT_EQ(result.cutoffs.size(), 3U);
  EXPECT_DOUBLE_EQ(result.cutoffs[0].hit_rate, 2.0 / 3);
  EXPECT_DOUBLE_EQ(result.cutoffs[1].ndcg, 2.0 / 3);
  EXPECT_DOUBLE_EQ(result.cutoffs[2].hit_rate, 1);
  EXPECT_DOUBLE_EQ(result.cutoffs[2].ndcg, (1 + 1 + 0.5) / 3);
  EXPECT_DOUBLE_EQ(result.mrr, (1 + 1 + 1.0 / 3) / 3);
  EXPECT_EQ(to_text(result),
            "HR@1 0.6667 NDCG@1 0.6667 HR@2 0.6667 NDCG@2 0.6667 HR@3 1.0000 NDCG@3 0.8333 "
            "MRR 0.7778");
  EXPECT_EQ(named_values(result)[4].first, "HR@3");
  EXPECT_EQ(named_values(result).back().first, "MRR");
}

TEST(RankingByHand, MissesCountNothingButTheirUser) {
  const auto alone = testing::one_rank();
  const at::Tensor items = at::arange(6, at::kFloat).unsqueeze(1);
  const RankingQueries queries{at::ones({2, 1}), longs({4, 4}), lists_of({{4}, {}})};
  const RankingResult result =
      rank_answers(ItemRanking(items, {"exclude", "items", {5}}), queries, *alone);
  EXPECT_DOUBLE_EQ(result.cutoffs[0].hit_rate, 0.5);
  EXPECT_DOUBLE_EQ(result.cutoffs[0].ndcg, 0.5);
  EXPECT_DOUBLE_EQ(result.mrr, 0.5);
  const RankingQueries nobody{at::ones({0, 1}), longs({}), empty_lists(0)};
  const RankingResult none = rank_answers(ItemRanking(items, {}), nobody, *alone);
  EXPECT_EQ(none.users, 0);
  EXPECT_EQ(none.mrr, 0);
}

TEST(Popularity, RanksItemsByTheirCountsHoweverLarge) {
  const int64_t much = int64_t{1} << 40;
  const at::Tensor table = popularity_table(longs({0, 5, much + 1, much, 5, 1, 0}));
  const RankingQueries queries{at::ones({3, 1}), longs({3, 4, 5}), lists_of({{}, {}, {2}})};
  EXPECT_TRUE(at::equal(ItemRanking(table, {"exclude"}).rank(queries).rank, longs({2, 4, 4})));
  EXPECT_THROW(popularity_table(longs({0, -1, 0})), c10::Error);
  EXPECT_THROW(popularity_table(at::ones({4})), c10::Error);
}

TEST(SampledRanking, IsThatOfSortingTheNegatives) {
  const RankingCase c = ranking_case(50, 130, 6, 2);
  const auto sampler =
      std::make_shared<NegativeSampler>(128, 20, random_key(1, Purpose::kProbe, 0));
  for (const char* history : {"zero", "exclude", "keep"}) {
    const ItemRanking ranking(c.items, {history}, sampler);
    const AnswerRanks found = ranking.rank(c.queries);
    RankingQueries wide = c.queries;
    wide.representations = wide.representations.to(at::kDouble);
    const at::Tensor torch =
        ItemRanking(c.items.to(at::kDouble), {history}, sampler).rank(wide).rank;
    EXPECT_TRUE(at::equal(found.rank, torch));
    for (int64_t u = 0; u < 50; ++u) {
      std::vector<int32_t> drawn(20);
      const auto answer = static_cast<int32_t>(c.queries.answers[u].item<int64_t>());
      const auto seen = c.queries.history.of(u);
      sampler->draw(c.queries.users[u].item<int64_t>(), seen, answer, drawn.data());
      std::vector<int64_t> among(drawn.begin(), drawn.end());
      const std::set<int64_t> distinct(among.begin(), among.end());
      EXPECT_EQ(distinct.size(), 20U);
      EXPECT_EQ(distinct.count(answer), 0U);
      for (const int32_t id : seen) EXPECT_EQ(distinct.count(id), 0U);
      EXPECT_GE(*distinct.begin(), 1);
      EXPECT_LE(*distinct.rbegin(), 128);
      among.push_back(answer);
      EXPECT_EQ(found.rank[u].item<int64_t>(), rank_by_loops(c, u, history, among).rank);
    }
  }
}

TEST(SampledRanking, SaysSoInNamesAndText) {
  const auto alone = testing::one_rank();
  const RankingCase c = ranking_case(10, 130, 6, 2);
  const auto sampler =
      std::make_shared<NegativeSampler>(128, 99, random_key(1, Purpose::kProbe, 0));
  const RankingResult result =
      rank_answers(ItemRanking(c.items, {"zero", "items", {5}}, sampler), c.queries, *alone);
  EXPECT_EQ(result.protocol, "sampled_99");
  EXPECT_EQ(to_text(result).rfind("sampled_99 HR@5 ", 0), 0U);
  EXPECT_EQ(named_values(result)[0].first, "sampled_99.HR@5");
}

TEST(NegativeSampling, DrawsByPopularityInProportion) {
  // Occurrences of the items 1 .. 4: 60, 30, 10, 0.
  const NegativeSampler sampler(4, 1, random_key(2, Purpose::kProbe, 0),
                                longs({0, 60, 30, 10, 0, 0}));
  std::vector<int64_t> drawn(6), uniform(6);
  const NegativeSampler even(4, 1, random_key(2, Purpose::kProbe, 0));
  for (int64_t user = 0; user < 20000; ++user) {
    int32_t id = 0;
    sampler.draw(user, {}, 4, &id);
    ++drawn[id];
    even.draw(user, {}, 4, &id);
    ++uniform[id];
  }
  EXPECT_NEAR(static_cast<double>(drawn[1]), 12000, 300);
  EXPECT_NEAR(static_cast<double>(drawn[2]), 6000, 300);
  EXPECT_NEAR(static_cast<double>(drawn[3]), 2000, 200);
  EXPECT_EQ(drawn[0] + drawn[4] + drawn[5] + uniform[0] + uniform[4] + uniform[5], 0);
  for (const int id : {1, 2, 3}) EXPECT_NEAR(static_cast<double>(uniform[id]), 6667, 300);
}

TEST(NegativeSampling, RefusesWhatCannotBeDrawn) {
  const PhiloxKey key = random_key(2, Purpose::kProbe, 0);
  const std::vector<int32_t> seen{1, 1, 2};
  std::vector<int32_t> drawn(4);
  NegativeSampler(6, 3, key).draw(0, seen, 3, drawn.data());
  EXPECT_EQ(std::set<int32_t>(drawn.begin(), drawn.begin() + 3), (std::set<int32_t>{4, 5, 6}));
  EXPECT_THROW(NegativeSampler(6, 4, key).draw(0, seen, 3, drawn.data()), c10::Error);
  EXPECT_THROW(NegativeSampler(3, 1, key, longs({0, 9, 0, 0, 0})).draw(0, {}, 1, drawn.data()),
               c10::Error);
  EXPECT_THROW(NegativeSampler(3, 1, key, longs({0, 9, 0})), c10::Error);
  EXPECT_THROW(NegativeSampler(3, 0, key), c10::Error);
}

TEST(RankingErrors, NameWhatDoesNotFit) {
  const RankingCase c = ranking_case(5, 60, 4, 2);
  const ItemRanking ranking(c.items, {});
  const auto message = [&](const auto& change) {
    RankingQueries queries = users_of(c.queries, 0, 5);
    change(queries);
    try {
      ranking.rank(queries);
    } catch (const c10::Error& error) {
      return std::string(error.what_without_backtrace());
    }
    return std::string("no error");
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto put = [](at::Tensor& tensor, int64_t row, double value) {
    tensor = tensor.clone();
    tensor[row] = value;
  };
  using Q = RankingQueries;
  EXPECT_EQ(message([](Q&) {}), "no error");
  EXPECT_NE(message([&](Q& q) { put(q.representations, 3, nan); }).find("from row 3 of 5"),
            std::string::npos);
  EXPECT_NE(message([&](Q& q) { put(q.representations, 2, INFINITY); }).find("from row 2 of 5"),
            std::string::npos);
  EXPECT_NE(message([&](Q& q) { put(q.representations, 2, 1e38); }).find("cannot hold"),
            std::string::npos);
  EXPECT_NE(message([&](Q& q) { put(q.answers, 4, 59); }).find("answer of row 4 is 59"),
            std::string::npos);
  EXPECT_NE(message([&](Q& q) { put(q.answers, 0, 0); }).find("answer of row 0 is 0"),
            std::string::npos);
  EXPECT_NE(message([&](Q& q) {
              q.history = lists_of({{}, {3, 0}, {}, {}, {}});
            }).find("list 1 has the item 0"),
            std::string::npos);
  EXPECT_NE(message([&](Q& q) {
              q.history = lists_of({{}, {}});
            }).find("offsets [6]"),
            std::string::npos);
  EXPECT_NE(message([&](Q& q) { put(q.history.offsets, 2, 10000); }).find("not fall"),
            std::string::npos);
  EXPECT_NE(message([&](Q& q) {
              q.representations = at::ones({5, 3});
            }).find("[n, 4]"),
            std::string::npos);
  at::Tensor broken = c.items.clone();
  broken[17] = nan;
  EXPECT_THROW(ItemRanking(broken, {}), c10::Error);
  EXPECT_THROW(ItemRanking(c.items, {"none"}), c10::Error);
  EXPECT_THROW(ItemRanking(c.items, {"zero", "all"}), c10::Error);
  EXPECT_THROW(ItemRanking(c.items, {"zero", "items", {0}}).tally(), c10::Error);
  EXPECT_THROW(ItemRanking(at::ones({2, 4}), {}), c10::Error);
  const auto sampler = std::make_shared<NegativeSampler>(57, 5, random_key(1, Purpose::kProbe, 0));
  EXPECT_THROW(ItemRanking(c.items, {}, sampler), c10::Error);
}

}  // namespace
}  // namespace cltrain
