#include "data/sequences/sequence_rows.h"

#include "sequence_files.h"

#include <memory>
#include <set>
#include <thread>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::Lists;
using Row = std::vector<std::vector<int64_t>>;

SequenceSet set_of(const Lists& lists, int32_t items = 0) {
  return SequenceSet(std::make_shared<const Interactions>(testing::interactions_of(lists, items)));
}

Row row_of(const SequenceRows& rows, int64_t position, uint64_t epoch = 0, uint64_t seed = 1) {
  Row row;
  std::vector<std::byte*> outs;
  for (const RowField& field : rows.fields())
    row.emplace_back(static_cast<size_t>(field.extents.at(0)), -1);
  for (auto& values : row) outs.push_back(reinterpret_cast<std::byte*>(values.data()));
  rows.make(position, random_key(seed, Purpose::kAugmentation, epoch), outs);
  return row;
}

TEST(SequenceSet, HoldsTheTrainedUsers) {
  const SequenceSet set = set_of({{1, 2, 3}, {1, 2, 3, 4}, {1}, {5, 4, 3, 2, 1}});
  EXPECT_EQ(set.size(), 2);
  EXPECT_EQ(set.source_id(0), 1);
  EXPECT_EQ(set.source_id(1), 3);
  EXPECT_EQ(set.label(0), -1);
  EXPECT_EQ(set.classes(), 0);
  EXPECT_EQ(set.history(1).front(), 5);
  EXPECT_MENTIONS(set.describe(), "a set in memory: 4 users, 5 items");
  EXPECT_MENTIONS(testing::data_error([] {
                    set_of({{1, 2, 3}, {4, 5}});
                  }),
                  "none of 2 users has 4 items or more");
}

TEST(SequenceRows, WindowsOfInputAndTargets) {
  const SequenceSet set = set_of({{1, 2, 3, 4}, {5, 6, 7, 8, 9, 10, 11}}, 40);
  const SequenceRows rows(set, 3);
  ASSERT_EQ(rows.fields().size(), 4u);
  EXPECT_EQ(rows.fields()[0].name, "items");
  EXPECT_EQ(rows.fields()[1].name, "targets");
  EXPECT_EQ(rows.fields()[2].name, "negatives");
  EXPECT_EQ(rows.fields()[3].name, "history");
  EXPECT_EQ(rows.fields()[3].extents, (std::vector<int64_t>{4}));
  const Row first = row_of(rows, 0), second = row_of(rows, 1);
  EXPECT_EQ(first[0], (std::vector<int64_t>{0, 0, 1}));
  EXPECT_EQ(first[1], (std::vector<int64_t>{0, 0, 2}));
  EXPECT_EQ(first[3], (std::vector<int64_t>{0, 0, 0, 1}));
  EXPECT_EQ(second[0], (std::vector<int64_t>{6, 7, 8}));
  EXPECT_EQ(second[1], (std::vector<int64_t>{7, 8, 9}));
  EXPECT_EQ(second[3], (std::vector<int64_t>{5, 6, 7, 8}));
  EXPECT_EQ(first[2][0], 0);
  EXPECT_EQ(first[2][1], 0);
  EXPECT_GT(first[2][2], 0);
  // A window longer than all lists is the length of the history as well.
  EXPECT_EQ(SequenceRows(set, 9).fields()[3].extents, (std::vector<int64_t>{9}));
}

TEST(SequenceRows, NegativesAreUniformOverWhatTheUserDoesNotKnow) {
  // The user knows 1, 2, 5, 9 and 10, the last two held out: of 1 .. 11, id 11 the reserved one,
  // six are left.
  const SequenceSet set = set_of({{2, 5, 2, 1, 10, 9}}, 10);
  const SequenceRows rows(set, 4);
  const std::set<int64_t> unknown = {3, 4, 6, 7, 8, 11};
  std::map<int64_t, int> counts;
  constexpr int kEpochs = 20000;
  for (uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
    const Row row = row_of(rows, 0, epoch);
    EXPECT_EQ(row[2][0], 0);
    for (size_t slot = 1; slot < 4; ++slot) ++counts[row[2][slot]];
  }
  ASSERT_EQ(counts.size(), unknown.size());
  double chi_squared = 0;
  for (const auto& [item, count] : counts) {
    EXPECT_TRUE(unknown.count(item)) << item;
    const double expected = 3 * kEpochs / 6.0;
    chi_squared += (count - expected) * (count - expected) / expected;
  }
  EXPECT_LT(chi_squared, 20.5);  // 5 degrees of freedom, 1 in 1000
}

TEST(SequenceRows, NegativesOfDrawnListsAreUnknownAndWithinTheIds) {
  const Lists lists = testing::drawn_lists(3, 60, 50, 40);
  const SequenceSet set = set_of(lists, 50);
  const SequenceRows rows(set, 20);
  std::set<int64_t> seen;
  for (int64_t position = 0; position < set.size(); ++position) {
    const auto& list = lists[static_cast<size_t>(set.source_id(position))];
    for (uint64_t epoch = 0; epoch < 20; ++epoch) {
      const Row row = row_of(rows, position, epoch);
      for (size_t slot = 0; slot < 20; ++slot) {
        EXPECT_EQ(row[2][slot] == 0, row[1][slot] == 0);
        if (row[2][slot] == 0) continue;
        EXPECT_GE(row[2][slot], 1);
        EXPECT_LE(row[2][slot], 51);
        EXPECT_EQ(std::count(list.begin(), list.end(), row[2][slot]), 0);
        seen.insert(row[2][slot]);
      }
    }
  }
  EXPECT_TRUE(seen.count(51));
  EXPECT_GT(seen.size(), 40u);
}

TEST(SequenceRows, OneUnknownItemIsFoundWhereverItIs) {
  for (int64_t left = 1; left <= 6; ++left) {
    std::vector<int32_t> list;
    for (int32_t item = 6; item >= 1; --item)
      if (item != left) list.push_back(item);
    const SequenceSet set = set_of({list}, 6);
    std::set<int64_t> found;
    for (uint64_t epoch = 0; epoch < 40; ++epoch)
      found.insert(row_of(SequenceRows(set, 1), 0, epoch)[2][0]);
    EXPECT_EQ(found, (std::set<int64_t>{left, 7}));
  }
}

TEST(SequenceRows, DependOnSeedEpochAndUserAlone) {
  const Lists lists = testing::drawn_lists(4, 30, 200, 30);
  const SequenceSet set = set_of(lists, 200);
  const SequenceRows rows(set, 10);
  EXPECT_NE(row_of(rows, 3, 0), row_of(rows, 3, 1));
  EXPECT_NE(row_of(rows, 3, 0, 1), row_of(rows, 3, 0, 2));
  // Users that are not trained on may come between: the draws go by the place in the file.
  Lists same = lists;
  for (auto& list : same)
    if (list.size() < 4) list = {7};
  const SequenceSet other = set_of(same, 200);
  EXPECT_EQ(row_of(rows, 5), row_of(SequenceRows(other, 10), 5));
  std::vector<Row> alone, together(static_cast<size_t>(set.size()));
  for (int64_t at = 0; at < set.size(); ++at) alone.push_back(row_of(rows, at));
  {
    std::vector<std::jthread> threads;
    for (int64_t at = set.size() - 1; at >= 0; --at)
      threads.emplace_back([&, at] { together[static_cast<size_t>(at)] = row_of(rows, at); });
  }
  EXPECT_EQ(alone, together);
}

TEST(SequenceRows, TellsWhatCannotBe) {
  const SequenceSet set = set_of({{1, 2, 3, 4}, {1, 2, 3, 4, 5}});
  const std::string message = testing::data_error([&] { SequenceRows(set, 5); });
  EXPECT_MENTIONS(message, "user u1 has interactions with all 5 items");
  const SequenceSet sound = set_of({{1, 2, 3, 4}}, 5);
  EXPECT_THROW(SequenceRows(sound, 0), std::invalid_argument);
  const SequenceRows rows(sound, 2);
  std::byte* one[] = {nullptr};
  EXPECT_THROW(rows.make(0, random_key(1, Purpose::kAugmentation, 0), one), std::invalid_argument);
}

}  // namespace
}  // namespace cltrain
