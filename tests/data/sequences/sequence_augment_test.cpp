#include "data/sequences/sequence_augment.h"

#include "data/sequences/leave_one_out.h"
#include "sequence_files.h"

#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using Op = SequenceOperation;
using Outcomes = std::map<ItemList, int>;

constexpr int kDraws = 6000;

PhiloxKey key_of(uint64_t epoch) {
  return random_key(1, Purpose::kAugmentation, epoch);
}

/// Item i has neighbour 100 + i.
Neighbours shifted_neighbours() {
  Neighbours neighbours{std::vector<int32_t>(100), std::vector<float>(100, 1)};
  std::iota(neighbours.best.begin(), neighbours.best.end(), 100);
  return neighbours;
}

ItemList counted_items(int32_t size) {
  ItemList items(static_cast<size_t>(size));
  std::iota(items.begin(), items.end(), 1);
  return items;
}

Outcomes draw(const std::function<ItemList(KeyedStream&)>& make) {
  Outcomes outcomes;
  for (uint64_t sample = 0; sample < kDraws; ++sample) {
    KeyedStream stream(key_of(0), sample, 0, 1);
    ++outcomes[make(stream)];
  }
  return outcomes;
}

/// Exactly these outcomes, each as likely: five standard deviations.
void expect_uniform(const Outcomes& found, const std::set<ItemList>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  const double share = 1.0 / static_cast<double>(expected.size());
  for (const auto& [list, count] : found) {
    EXPECT_TRUE(expected.count(list)) << ::testing::PrintToString(list);
    EXPECT_NEAR(count, kDraws * share, 5 * std::sqrt(kDraws * share * (1 - share)) + 1e-9)
        << ::testing::PrintToString(list);
  }
}

TEST(SequenceAugment, Crop) {
  const auto crop = [](int32_t size, double ratio) {
    return draw(
        [=](KeyedStream& stream) { return crop_items(counted_items(size), ratio, stream); });
  };
  expect_uniform(crop(1, 0.2), {{1}});
  expect_uniform(crop(2, 0.2), {{1}, {2}});
  expect_uniform(crop(3, 0), {{1}, {2}, {3}});
  expect_uniform(crop(5, 0.5), {{1, 2}, {2, 3}, {3, 4}, {4, 5}});
  expect_uniform(crop(3, 1), {{1, 2, 3}});
  expect_uniform(crop(0, 0.5), {{}});
}

TEST(SequenceAugment, Mask) {
  const auto mask = [](int32_t size, double ratio, int32_t id = 0) {
    return draw(
        [=](KeyedStream& stream) { return mask_items(counted_items(size), ratio, id, stream); });
  };
  expect_uniform(mask(1, 0.7), {{1}});
  expect_uniform(mask(2, 0.7), {{0, 2}, {1, 0}});
  expect_uniform(mask(3, 0.7), {{0, 0, 3}, {0, 2, 0}, {1, 0, 0}});
  expect_uniform(mask(3, 0.4, 77), {{77, 2, 3}, {1, 77, 3}, {1, 2, 77}});
  expect_uniform(mask(3, 1), {{0, 0, 0}});
  expect_uniform(mask(0, 1), {{}});
}

TEST(SequenceAugment, Reorder) {
  const auto reorder = [](int32_t size, double ratio) {
    return draw(
        [=](KeyedStream& stream) { return reorder_items(counted_items(size), ratio, stream); });
  };
  expect_uniform(reorder(1, 0.2), {{1}});
  expect_uniform(reorder(3, 0.5), {{1, 2, 3}});  // a run of one
  expect_uniform(reorder(3, 1), {{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}});
  expect_uniform(reorder(0, 1), {{}});
  // A run of two at one of three places, swapped or not.
  const Outcomes runs = reorder(4, 0.5);
  ASSERT_EQ(runs.size(), 4u);
  EXPECT_NEAR(runs.at({1, 2, 3, 4}), kDraws / 2, 200);
  for (const ItemList& swapped : {ItemList{2, 1, 3, 4}, {1, 3, 2, 4}, {1, 2, 4, 3}})
    EXPECT_NEAR(runs.at(swapped), kDraws / 6, 150);
}

TEST(SequenceAugment, Substitute) {
  const auto substitute = [](int32_t size, double ratio) {
    return draw([=, near = shifted_neighbours()](KeyedStream& stream) {
      return substitute_items(counted_items(size), ratio, near, stream);
    });
  };
  expect_uniform(substitute(1, 0.1), {{101}});
  expect_uniform(substitute(2, 0.1), {{101, 2}, {1, 102}});
  expect_uniform(substitute(3, 0.7), {{101, 102, 3}, {101, 2, 103}, {1, 102, 103}});
  expect_uniform(substitute(0, 1), {{}});
}

TEST(SequenceAugment, InsertPutsTheNeighbourBefore) {
  const auto insert = [](int32_t size, double ratio) {
    return draw([=, near = shifted_neighbours()](KeyedStream& stream) {
      return insert_items(counted_items(size), ratio, near, stream);
    });
  };
  expect_uniform(insert(1, 0.4), {{101, 1}});
  expect_uniform(insert(2, 0.4), {{101, 1, 2}, {1, 102, 2}});
  expect_uniform(insert(3, 0.7), {{101, 1, 102, 2, 3}, {101, 1, 2, 103, 3}, {1, 102, 2, 103, 3}});
  expect_uniform(insert(2, 1), {{101, 1, 102, 2}});
}

TEST(SequenceAugment, LongListsAndTheirWindow) {
  const ItemList items = counted_items(80);
  const Neighbours near = shifted_neighbours();
  for (uint64_t sample = 0; sample < 200; ++sample) {
    KeyedStream stream(key_of(0), sample, 0, 1);
    const ItemList cropped = crop_items(items, 0.2, stream);
    ASSERT_EQ(cropped.size(), 16u);
    for (size_t at = 1; at < 16; ++at)
      EXPECT_EQ(cropped[at], cropped[0] + static_cast<int32_t>(at));
    const ItemList masked = mask_items(items, 0.7, 0, stream);
    EXPECT_EQ(std::count(masked.begin(), masked.end(), 0), 56);
    for (size_t at = 0; at < 80; ++at) EXPECT_TRUE(masked[at] == 0 || masked[at] == items[at]);
    // Outside a run of 16 nothing moves.
    ItemList reordered = reorder_items(items, 0.2, stream);
    size_t first = 80, last = 0;
    for (size_t at = 0; at < 80; ++at)
      if (reordered[at] != items[at]) {
        first = std::min(first, at);
        last = at;
      }
    EXPECT_TRUE(first == 80 || last - first < 16);
    std::ranges::sort(reordered);
    EXPECT_EQ(reordered, items);
    const ItemList substituted = substitute_items(items, 0.1, near, stream);
    EXPECT_EQ(std::ranges::count_if(substituted, [](int32_t item) { return item > 100; }), 8);
    ItemList grown = insert_items(items, 0.4, near, stream);
    ASSERT_EQ(grown.size(), 112u);
    for (size_t at = 0; at < grown.size(); ++at)
      if (grown[at] > 100) {
        EXPECT_EQ(grown[at + 1], grown[at] - 100);
      }
    std::vector<int64_t> window(50);
    write_window(grown, 50, window.data());
    EXPECT_EQ(window, (std::vector<int64_t>(grown.end() - 50, grown.end())));
    std::erase_if(grown, [](int32_t item) { return item > 100; });
    EXPECT_EQ(grown, items);
  }
}

/// What an outcome of augment() says of the operation, for lists of different items and ratios that
/// make every operation show.
Op operation_seen(const ItemList& items, const ItemList& found) {
  if (found == items) return Op::kIdentity;
  if (found.size() > items.size()) return Op::kInsert;
  if (found.size() < items.size()) return Op::kCrop;
  if (std::count(found.begin(), found.end(), 0)) return Op::kMask;
  return std::ranges::any_of(found, [](int32_t item) { return item > 100; }) ? Op::kSubstitute
                                                                             : Op::kReorder;
}

std::map<Op, int> operations_drawn(const SequenceAugmentSettings& settings, int32_t size,
                                   uint32_t view) {
  const ItemList items = counted_items(size);
  std::map<Op, int> counts;
  for (int64_t user = 0; user < kDraws; ++user)
    ++counts[operation_seen(items,
                            augment(items, settings, shifted_neighbours(), key_of(3), user, view))];
  return counts;
}

void expect_shares(const std::map<Op, int>& found, const std::map<Op, double>& shares) {
  ASSERT_EQ(found.size(), shares.size());
  for (const auto& [operation, share] : shares)
    EXPECT_NEAR(found.at(operation), share * kDraws, 0.03 * kDraws)
        << static_cast<uint32_t>(operation);
}

TEST(SequenceAugment, ChoosesUniformly) {
  // 40 items: a shuffle of 8 that changes nothing is 1 of 40320.
  expect_shares(operations_drawn({}, 40, 0),
                {{Op::kCrop, 1 / 3.}, {Op::kMask, 1 / 3.}, {Op::kReorder, 1 / 3.}});
  expect_shares(operations_drawn(coserec_augmentation(), 40, 1), {{Op::kCrop, .2},
                                                                  {Op::kMask, .2},
                                                                  {Op::kReorder, .2},
                                                                  {Op::kInsert, .2},
                                                                  {Op::kSubstitute, .2}});
}

TEST(SequenceAugment, ShortLists) {
  SequenceAugmentSettings settings = coserec_augmentation();
  // 4 is still short; two of its items are masked, so none looks like identity.
  expect_shares(operations_drawn(settings, 4, 0),
                {{Op::kSubstitute, 1 / 3.}, {Op::kInsert, 1 / 3.}, {Op::kMask, 1 / 3.}});
  EXPECT_EQ(operations_drawn(settings, 5, 0).count(Op::kCrop), 1u);
  // SIMRC of 10: reorder takes 7 there, not 2, and crop keeps its ratio.
  settings.short_threshold = 12;
  settings.short_choices = sequence_operations("substitute,insert,mask,reorder,crop");
  EXPECT_EQ(settings.short_choices.size(), 5u);
  const ItemList items = counted_items(10);
  size_t moved_most = 0;
  for (int64_t user = 0; user < 2000; ++user) {
    const ItemList found = augment(items, settings, shifted_neighbours(), key_of(0), user, 0);
    if (operation_seen(items, found) == Op::kCrop) {
      EXPECT_EQ(found.size(), 2u);
    }
    if (operation_seen(items, found) != Op::kReorder) continue;
    size_t moved = 0;
    for (size_t at = 0; at < 10; ++at) moved += found[at] != items[at];
    moved_most = std::max(moved_most, moved);
  }
  EXPECT_EQ(moved_most, 7u);
}

TEST(SequenceAugment, ViewsHaveTheirOwnChoicesAndDraws) {
  SequenceAugmentSettings settings;
  settings.choices = {{Op::kIdentity}, {Op::kMask}};
  const ItemList items = counted_items(20);
  EXPECT_EQ(augment(items, settings, {}, key_of(0), 7, 0), items);
  for (uint32_t view = 1; view < 4; ++view)
    EXPECT_EQ(operation_seen(items, augment(items, settings, {}, key_of(0), 7, view)), Op::kMask);
  settings.choices = {{Op::kMask}};
  const ItemList first = augment(items, settings, {}, key_of(0), 7, 0);
  EXPECT_EQ(first, augment(items, settings, {}, key_of(0), 7, 0));
  EXPECT_NE(first, augment(items, settings, {}, key_of(0), 7, 1));
  EXPECT_NE(first, augment(items, settings, {}, key_of(1), 7, 0));
  EXPECT_NE(first, augment(items, settings, {}, key_of(0), 8, 0));
  EXPECT_THROW(augment(items, settings, {}, key_of(0), 7, 14), std::invalid_argument);
}

TEST(SequenceAugment, LeavesTheSourceAlone) {
  for (const int32_t size : {1, 2, 3, 60}) {
    const ItemList items = counted_items(size);
    ItemList source = items;
    for (const Op operation :
         {Op::kIdentity, Op::kCrop, Op::kMask, Op::kReorder, Op::kSubstitute, Op::kInsert}) {
      SequenceAugmentSettings settings;
      settings.choices = {{operation}};
      settings.reorder = 1;
      for (uint32_t view = 0; view < 2; ++view) {
        const ItemList found = augment(source, settings, shifted_neighbours(), key_of(0), 1, view);
        EXPECT_FALSE(found.empty());
        EXPECT_NE(found.data(), source.data());
        EXPECT_EQ(source, items);
      }
    }
  }
}

TEST(SequenceAugment, TellsWhatIsWrong) {
  SequenceAugmentSettings settings;
  EXPECT_FALSE(needs_neighbours(settings));
  EXPECT_TRUE(needs_neighbours(coserec_augmentation()));
  settings.short_choices = {Op::kInsert};
  EXPECT_FALSE(needs_neighbours(settings));
  settings.short_threshold = 2;
  EXPECT_TRUE(needs_neighbours(settings));
  check(settings);
  check(coserec_augmentation());
  EXPECT_THROW(augment(counted_items(2), settings, {}, key_of(0), 0, 0), std::invalid_argument);
  const auto refused = [](const auto& change) {
    SequenceAugmentSettings wrong = coserec_augmentation();
    change(wrong);
    EXPECT_THROW(check(wrong), std::invalid_argument);
  };
  refused([](auto& wrong) { wrong.crop = 1.5; });
  refused([](auto& wrong) { wrong.insert = -0.1; });
  refused([](auto& wrong) { wrong.short_reorder = std::nan(""); });
  refused([](auto& wrong) { wrong.choices.clear(); });
  refused([](auto& wrong) { wrong.choices.push_back({}); });
  refused([](auto& wrong) { wrong.short_choices.clear(); });
  refused([](auto& wrong) { wrong.short_threshold = -1; });
  refused([](auto& wrong) { wrong.mask_id = -1; });
  EXPECT_EQ(sequence_operations("identity,crop,crop"),
            (std::vector<Op>{Op::kIdentity, Op::kCrop, Op::kCrop}));
  EXPECT_THROW(sequence_operations(""), std::invalid_argument);
  EXPECT_THROW(sequence_operations("crop,"), std::invalid_argument);
  EXPECT_THROW(sequence_operations("crop, mask"), std::invalid_argument);
}

}  // namespace
}  // namespace cltrain
