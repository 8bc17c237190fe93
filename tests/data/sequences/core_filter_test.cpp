#include "data/sequences/core_filter.h"

#include "sequence_files.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::Lists;

/// By the definition: one violating user or item at a time, until none is left.
std::map<int64_t, std::vector<int32_t>> brute_force(const Lists& lists, const CoreLimits& limits) {
  std::map<int64_t, std::vector<int32_t>> left;
  for (size_t user = 0; user < lists.size(); ++user) left[static_cast<int64_t>(user)] = lists[user];
  for (;;) {
    std::map<int32_t, int64_t> counts;
    for (const auto& [user, list] : left)
      for (const int32_t item : list) ++counts[item];
    bool changed = false;
    for (auto& [user, list] : left) {
      if (list.empty() || static_cast<int64_t>(list.size()) < limits.user_least) {
        left.erase(user);
        changed = true;
        break;
      }
    }
    if (changed) continue;
    for (const auto& [item, count] : counts) {
      if (count >= limits.item_least) continue;
      for (auto& [user, list] : left) std::erase(list, item);
      changed = true;
      break;
    }
    if (!changed) return left;
  }
}

TEST(CoreFilter, IsTheBruteForceCore) {
  int rounds_that_removed = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    const Lists lists = testing::drawn_lists(seed, 40, 30, 12);
    const Interactions all = testing::interactions_of(lists, 33);
    for (const CoreLimits limits :
         {CoreLimits{5, 5}, CoreLimits{4, 0}, CoreLimits{0, 6}, CoreLimits{3, 8}}) {
      const auto expected = brute_force(lists, limits);
      const Interactions found = core_filter(all, limits);
      ASSERT_EQ(found.users(), static_cast<int64_t>(expected.size()));
      std::set<int32_t> items;
      int64_t row = 0;
      for (const auto& [user, list] : expected) {
        EXPECT_EQ(found.user_names[static_cast<size_t>(row)], "u" + std::to_string(user));
        std::vector<int32_t> names;
        for (const int32_t id : found.history(row++))
          names.push_back(std::stoi(found.item_name(id)));
        EXPECT_EQ(names, list);
        items.insert(list.begin(), list.end());
      }
      // Old order, no holes.
      ASSERT_EQ(found.items(), static_cast<int32_t>(items.size()));
      int32_t id = 0;
      for (const int32_t item : items) EXPECT_EQ(found.item_name(++id), std::to_string(item));
      rounds_that_removed += found.users() < all.users();
    }
  }
  EXPECT_GT(rounds_that_removed, 20);
}

TEST(CoreFilter, KeepsIdsWhereNothingIsRemoved) {
  const Interactions all = testing::interactions_of({{2, 5, 2}, {5, 5, 2}});
  for (const CoreLimits limits : {CoreLimits{}, CoreLimits{1, 1}, CoreLimits{3, 3}}) {
    const Interactions found = core_filter(all, limits);
    EXPECT_EQ(found.item_ids, all.item_ids);
    EXPECT_EQ(found.items(), 5);
    EXPECT_TRUE(found.item_names.empty());
  }
}

TEST(CoreFilter, RatingsGoWithTheirItems) {
  Interactions all = testing::interactions_of({{1, 2, 3}, {2}, {3, 2}});
  all.ratings = {10, 20, 30, 40, 50, 60};
  const Interactions found = core_filter(all, {2, 2});
  EXPECT_EQ(testing::lists_of(found), (Lists{{1, 2}, {2, 1}}));
  EXPECT_EQ(found.ratings, (std::vector<float>{20, 30, 50, 60}));
  EXPECT_EQ(found.user_names, (std::vector<std::string>{"u0", "u2"}));
  EXPECT_MENTIONS(found.description, "at least 2 interactions a user and 2 an item");
}

TEST(CoreFilter, RefusesToLeaveNothing) {
  const Interactions all = testing::interactions_of({{1, 2, 3}, {1, 2}});
  const std::string message = testing::data_error([&] { core_filter(all, {3, 2}); });
  EXPECT_MENTIONS(message,
                  "at least 3 interactions a user and 2 an item leave no interaction of 5");
  EXPECT_THROW(core_filter(all, {-1, 2}), std::invalid_argument);
}

}  // namespace
}  // namespace cltrain
