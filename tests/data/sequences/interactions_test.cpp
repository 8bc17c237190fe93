#include "data/sequences/interactions.h"

#include "sequence_files.h"

#include <gtest/gtest.h>

namespace cltrain {
namespace {

TEST(Interactions, StatisticsOfASmallSet) {
  // Lengths 2, 3, 5, 4: worked out by hand. Item 6 of 1 .. 7 does not occur.
  const Interactions set =
      testing::interactions_of({{1, 2}, {1, 3, 1}, {1, 2, 3, 4, 5}, {7, 1, 2, 3}});
  const InteractionStatistics found = statistics(set);
  EXPECT_EQ(found.users, 4);
  EXPECT_EQ(found.items, 6);
  EXPECT_EQ(found.interactions, 14);
  EXPECT_EQ(found.shortest, 2);
  EXPECT_EQ(found.longest, 5);
  EXPECT_DOUBLE_EQ(found.mean, 3.5);
  EXPECT_DOUBLE_EQ(found.median, 3.5);
  EXPECT_DOUBLE_EQ(found.density, 14.0 / 24.0);
  EXPECT_EQ(found.not_trained, 2);
  EXPECT_EQ(found.left_out, 1);
  EXPECT_EQ(statistics_line(set),
            "4 users, 6 items (ids to 7), 14 interactions, 2 to 5 items a user (mean 3.50, median "
            "3.5), density 58.3 %, 2 users not trained on (fewer than 4 items), 1 of them left out "
            "(fewer than 3)");
}

TEST(Interactions, StatisticsOfAnOddNumberOfUsersAndOfNone) {
  EXPECT_DOUBLE_EQ(statistics(testing::interactions_of({{1}, {1, 2, 3}, {1, 2}})).median, 2);
  EXPECT_EQ(statistics(Interactions{}).users, 0);
}

TEST(Interactions, NamesOfNumberedItems) {
  const Interactions set = testing::interactions_of({{1, 3}});
  EXPECT_EQ(set.item_name(3), "3");
  EXPECT_THROW(set.item_name(0), std::out_of_range);
  EXPECT_THROW(set.item_name(4), std::out_of_range);
}

}  // namespace
}  // namespace cltrain
