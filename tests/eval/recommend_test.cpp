// Recommendations against sorting in float64.
#include "eval/recommend.h"

#include "tests/eval/ranking_cases.h"

#include <limits>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::lists_of;
using testing::numbers;

TEST(Recommend, IsThatOfSortingWithoutWhatIsLeftOut) {
  const auto c = testing::ranking_case(300, 150, 5, 2);
  const Recommender recommender(c.items);
  for (const int64_t k : {1, 20, 148, 200}) {
    const Recommendations found = recommender.best(c.queries.representations, k, c.queries.history);
    for (int64_t u = 0; u < 300; u += 13) {
      const auto list = c.queries.history.of(u);
      const std::set<int64_t> out(list.begin(), list.end());
      std::vector<std::pair<double, int64_t>> order;
      for (int64_t id = 1; id < 149; ++id)
        if (!out.count(id))
          order.emplace_back(-c.queries.representations[u].dot(c.items[id]).item<double>(), id);
      std::sort(order.begin(), order.end());
      for (int64_t j = 0; j < k; ++j) {
        const bool there = j < static_cast<int64_t>(order.size());
        EXPECT_EQ(found.items[u][j].item<int64_t>(), there ? order[j].second : -1) << u << " " << j;
        EXPECT_EQ(found.scores[u][j].item<double>(),
                  there ? -order[j].first : -std::numeric_limits<double>::infinity());
      }
    }
  }
}

TEST(Recommend, ALongListOfOneUserLeavesTheOthersAlone) {
  const auto c = testing::ranking_case(3, 90, 4, 0);
  std::vector<int32_t> most(87);
  for (int32_t i = 0; i < 87; ++i) most[i] = i + 1;  // all but item 88
  const Recommender recommender(c.items);
  const Recommendations found =
      recommender.best(c.queries.representations, 2, lists_of({{}, most, {5}}));
  EXPECT_EQ(found.items[1][0].item<int64_t>(), 88);
  EXPECT_EQ(found.items[1][1].item<int64_t>(), -1);
  const Recommendations alone =
      recommender.best(c.queries.representations.narrow(0, 2, 1), 2, lists_of({{5}}));
  EXPECT_TRUE(at::equal(alone.items[0], found.items[2]));
  EXPECT_TRUE(at::equal(alone.scores[0], found.scores[2]));
  EXPECT_EQ(recommender.best(at::ones({0, 4}), 2, empty_lists(0)).items.size(0), 0);
}

TEST(ItemLists, SomeOfThemAreThose) {
  const ItemLists all = lists_of({{1, 2}, {}, {3}, {4, 4, 5}});
  const ItemLists some = some_lists(all, 1, 2);
  check_item_lists(some, 2, 5, "test");
  EXPECT_EQ(some.of(0).size(), 0U);
  EXPECT_EQ(some.of(1).size(), 1U);
  EXPECT_EQ(some.of(1)[0], 3);
  check_item_lists(some_lists(all, 4, 0), 0, 5, "test");
  std::vector<int32_t> once;
  sorted_once(lists_of({{5, 4, 4}}).of(0), once);
  EXPECT_EQ(once, (std::vector<int32_t>{4, 5}));
}

TEST(Recommend, RefusesWhatDoesNotFit) {
  const at::Tensor items = numbers(10, 3, 2, 1), users = numbers(2, 3, 2, 2);
  const Recommender recommender(items);
  EXPECT_THROW(recommender.best(users, 0, empty_lists(2)), c10::Error);
  EXPECT_THROW(recommender.best(users, 5, empty_lists(3)), c10::Error);
  EXPECT_THROW(recommender.best(users, 5, lists_of({{9}, {}})), c10::Error);
  EXPECT_THROW(recommender.best(users.to(at::kDouble), 5, empty_lists(2)), c10::Error);
  EXPECT_THROW(recommender.best(users / 0, 5, empty_lists(2)), c10::Error);
  EXPECT_THROW(Recommender(items / 0), c10::Error);
}

}  // namespace
}  // namespace cltrain
