#include "data/sequences/leave_one_out.h"

#include "sequence_files.h"

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using Items = std::vector<int32_t>;

Items copy(std::span<const int32_t> items) {
  return Items(items.begin(), items.end());
}

TEST(LeaveOneOut, PartsOfASixItemList) {
  const Items items = {11, 12, 13, 14, 15, 16};
  EXPECT_EQ(copy(training_input(items)), (Items{11, 12, 13}));
  EXPECT_EQ(copy(training_targets(items)), (Items{12, 13, 14}));
  EXPECT_EQ(copy(validation_part(items).history), (Items{11, 12, 13, 14}));
  EXPECT_EQ(validation_part(items).answer, 15);
  EXPECT_EQ(copy(test_part(items).history), (Items{11, 12, 13, 14, 15}));
  EXPECT_EQ(test_part(items).answer, 16);
}

TEST(LeaveOneOut, ShortLists) {
  const Items four = {1, 2, 3, 4}, three = {1, 2, 3}, two = {1, 2};
  EXPECT_EQ(copy(training_input(four)), (Items{1}));
  EXPECT_EQ(copy(training_targets(four)), (Items{2}));
  EXPECT_TRUE(training_input(three).empty() && training_targets(three).empty());
  EXPECT_EQ(copy(validation_part(three).history), (Items{1}));
  EXPECT_EQ(validation_part(three).answer, 2);
  EXPECT_EQ(copy(test_part(three).history), (Items{1, 2}));
  EXPECT_EQ(test_part(three).answer, 3);
  EXPECT_TRUE(training_input(two).empty() && training_targets(two).empty());
}

TEST(LeaveOneOut, WhoIsTrainedAndWhoEvaluated) {
  const Interactions set =
      testing::interactions_of({{1, 2, 3}, {1, 2, 3, 4}, {1, 2}, {1}, {5, 4, 3, 2, 1}});
  EXPECT_EQ(trained_users(set), (std::vector<int64_t>{1, 4}));
  EXPECT_EQ(evaluated_users(set), (std::vector<int64_t>{0, 1, 4}));
}

TEST(LeaveOneOut, WindowsKeepTheLastAndPadOnTheLeft) {
  const Items items = {1, 2, 3};
  std::vector<int64_t> out(6, -1);
  write_window(items, 5, out.data());
  EXPECT_EQ(out, (std::vector<int64_t>{0, 0, 1, 2, 3, -1}));
  write_window(items, 2, out.data());
  EXPECT_EQ(out, (std::vector<int64_t>{2, 3, 1, 2, 3, -1}));
  write_window({}, 3, out.data());
  EXPECT_EQ(out, (std::vector<int64_t>{0, 0, 0, 2, 3, -1}));
}

}  // namespace
}  // namespace cltrain
