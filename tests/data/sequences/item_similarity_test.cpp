#include "data/sequences/item_similarity.h"

#include "data/sequences/sequence_text.h"
#include "sequence_files.h"

#include <chrono>
#include <cmath>
#include <iostream>
#include <limits>
#include <set>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::Lists;
using Matrix = std::vector<std::vector<double>>;

const PhiloxKey kKey = random_key(5, Purpose::kAugmentation, 0);

Lists training_inputs(Lists lists) {
  for (auto& list : lists) list.resize(list.size() > 3 ? list.size() - 3 : 0);
  return lists;
}

Matrix zeros(size_t size) {
  return Matrix(size, std::vector<double>(size));
}

/// From the definitions, over all pairs of items and all users.
Matrix dense_item_cf(const Lists& inputs, size_t items, bool weighted) {
  std::vector<std::set<int32_t>> sets;
  for (const auto& list : inputs) sets.emplace_back(list.begin(), list.end());
  Matrix scores = zeros(items + 1);
  for (size_t i = 1; i <= items; ++i)
    for (size_t j = 1; j <= items; ++j) {
      double both = 0, with_i = 0, with_j = 0;
      for (const auto& set : sets) {
        const bool has_i = set.count(static_cast<int32_t>(i)),
                   has_j = set.count(static_cast<int32_t>(j));
        with_i += has_i;
        with_j += has_j;
        if (has_i && has_j)
          both += weighted ? 1 / std::log(1 + static_cast<double>(set.size())) : 1;
      }
      if (i != j && both > 0) scores[i][j] = both / std::sqrt(with_i * with_j);
    }
  return scores;
}

Matrix dense_item2vec(const Lists& inputs, size_t items) {
  Matrix counts = zeros(items + 1), information = zeros(items + 1), scores = zeros(items + 1);
  for (const auto& list : inputs)
    for (size_t p = 0; p < list.size(); ++p)
      for (size_t q = 0; q < list.size(); ++q)
        if (p != q && (p > q ? p - q : q - p) <= 5 && list[p] != list[q])
          counts[static_cast<size_t>(list[p])][static_cast<size_t>(list[q])] += 1;
  std::vector<double> sums(items + 1);
  double total = 0;
  for (size_t i = 0; i <= items; ++i)
    for (const double count : counts[i]) {
      sums[i] += count;
      total += count;
    }
  for (size_t i = 0; i <= items; ++i)
    for (size_t j = 0; j <= items; ++j)
      if (counts[i][j] > 0)
        information[i][j] =
            std::max(0.0, std::log(counts[i][j]) + std::log(total) - std::log(sums[i] * sums[j]));
  const auto product = [&](size_t i, size_t j) {
    double sum = 0;
    for (size_t k = 0; k <= items; ++k) sum += information[i][k] * information[j][k];
    return sum;
  };
  for (size_t i = 1; i <= items; ++i)
    for (size_t j = 1; j <= items; ++j)
      if (i != j && product(i, j) > 0)
        scores[i][j] = product(i, j) / std::sqrt(product(i, i) * product(j, j));
  return scores;
}

/// The neighbours are the lowest ids of the largest scores, and random ones where all are 0.
void expect_best(const Neighbours& found, const Matrix& scores, size_t items) {
  ASSERT_EQ(found.best.size(), items + 2);
  ASSERT_EQ(found.score.size(), items + 2);
  for (size_t i = 1; i <= items; ++i) {
    const double largest = *std::max_element(scores[i].begin(), scores[i].end());
    EXPECT_NEAR(found.score[i], largest, 1e-6) << i;
    ASSERT_GE(found.best[i], 1);
    ASSERT_LE(found.best[i], static_cast<int32_t>(items));
    EXPECT_NE(found.best[i], static_cast<int32_t>(i));
    if (largest == 0) continue;
    const auto best = static_cast<size_t>(found.best[i]);
    EXPECT_NEAR(scores[i][best], largest, 1e-12) << i;
    // Rounding may part what is equal, so only a clearly equal lower id is a mistake.
    for (size_t j = 1; j < best; ++j) EXPECT_NE(scores[i][j], scores[i][best]) << i << ", " << j;
  }
  double least = std::numeric_limits<double>::infinity(), largest = 0;
  for (size_t i = 1; i <= items; ++i)
    for (size_t j = 1; j <= items; ++j)
      if (i != j && scores[i][j] > 0) {
        least = std::min(least, scores[i][j]);
        largest = std::max(largest, scores[i][j]);
      }
  EXPECT_NEAR(found.least, least, 1e-6);
  EXPECT_NEAR(found.largest, largest, 1e-6);
}

TEST(ItemSimilarity, ItemCfIsTheBruteForceOne) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const Lists lists = testing::drawn_lists(seed, 60, 40, 15);
    const Interactions set = testing::interactions_of(lists, 40);
    expect_best(most_similar(set, ItemSimilarity::kItemCf, kKey),
                dense_item_cf(training_inputs(lists), 40, false), 40);
    expect_best(most_similar(set, ItemSimilarity::kItemCfIuf, kKey),
                dense_item_cf(training_inputs(lists), 40, true), 40);
  }
}

TEST(ItemSimilarity, Item2VecIsTheBruteForceOne) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const Lists lists = testing::drawn_lists(seed, 50, 40, 25);
    const Matrix scores = dense_item2vec(training_inputs(lists), 40);
    const Neighbours found =
        most_similar(testing::interactions_of(lists, 40), ItemSimilarity::kItem2Vec, kKey);
    ASSERT_EQ(found.best.size(), 42u);
    for (size_t i = 1; i <= 40; ++i) {
      const double largest = *std::max_element(scores[i].begin(), scores[i].end());
      EXPECT_NEAR(found.score[i], largest, 1e-6) << i;
      if (largest > 0) {
        EXPECT_NEAR(scores[i][static_cast<size_t>(found.best[i])], largest, 1e-9) << i;
      }
    }
  }
}

TEST(ItemSimilarity, WorkedOutByHand) {
  // Training inputs {1, 2, 2}, {1, 2}, {1, 3}, {4}; what follows is held out.
  const Lists lists = {{1, 2, 2, 5, 5, 5}, {1, 2, 5, 5, 5}, {1, 3, 5, 5, 5}, {4, 5, 5, 5}};
  const Neighbours found =
      most_similar(testing::interactions_of(lists), ItemSimilarity::kItemCf, kKey);
  EXPECT_EQ(found.best[1], 2);
  EXPECT_NEAR(found.score[1], 2 / std::sqrt(6.0), 1e-6);
  EXPECT_EQ(found.best[2], 1);
  EXPECT_EQ(found.best[3], 1);
  EXPECT_NEAR(found.score[3], 1 / std::sqrt(3.0), 1e-6);
  EXPECT_EQ(found.score[4], 0);  // alone
  EXPECT_EQ(found.score[5], 0);  // held out only
  EXPECT_EQ(found.score[0], 0);
  EXPECT_EQ(found.score[6], 0);
  // 2 is with 1 and 3 with 1: item2vec sees that their company is the same.
  const Neighbours company =
      most_similar(testing::interactions_of(lists), ItemSimilarity::kItem2Vec, kKey);
  EXPECT_EQ(company.best[2], 3);
  EXPECT_NEAR(company.score[2], 1, 1e-6);
}

TEST(ItemSimilarity, ReadsTheTrainingPartAlone) {
  Lists lists = testing::drawn_lists(9, 40, 30, 20), other = lists;
  for (auto& list : other)
    for (size_t back = 1; back <= std::min<size_t>(3, list.size()); ++back)
      list[list.size() - back] = 1 + (list[list.size() - back] + 11) % 30;
  EXPECT_NE(lists, other);
  for (const auto similarity : {ItemSimilarity::kItemCf, ItemSimilarity::kItemCfIuf,
                                ItemSimilarity::kItem2Vec, ItemSimilarity::kRandom}) {
    const Neighbours one = most_similar(testing::interactions_of(lists, 30), similarity, kKey);
    const Neighbours two = most_similar(testing::interactions_of(other, 30), similarity, kKey);
    EXPECT_EQ(one.best, two.best);
    EXPECT_EQ(one.score, two.score);
  }
}

TEST(ItemSimilarity, RandomOnesAreOtherItemsAndKeyed) {
  const Interactions set = testing::interactions_of({{1, 2, 3, 4}}, 4);
  std::vector<std::set<int32_t>> seen(6);
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const PhiloxKey key = random_key(seed, Purpose::kAugmentation, 0);
    const Neighbours found = most_similar(set, ItemSimilarity::kRandom, key);
    EXPECT_EQ(found.best, most_similar(set, ItemSimilarity::kRandom, key).best);
    EXPECT_EQ(found.score, std::vector<float>(6));
    for (size_t id = 0; id < 6; ++id) seen[id].insert(found.best[id]);
  }
  EXPECT_EQ(seen[0], (std::set<int32_t>{1, 2, 3, 4}));
  EXPECT_EQ(seen[1], (std::set<int32_t>{2, 3, 4}));
  EXPECT_EQ(seen[3], (std::set<int32_t>{1, 2, 4}));
  EXPECT_EQ(seen[4], (std::set<int32_t>{1, 2, 3}));
  EXPECT_EQ(seen[5], (std::set<int32_t>{1, 2, 3, 4}));
  const Neighbours alone =
      most_similar(testing::interactions_of({{1, 1, 1, 1}}), ItemSimilarity::kItemCf, kKey);
  EXPECT_EQ(alone.best, (std::vector<int32_t>{1, 1, 1}));
}

TEST(ItemSimilarity, HybridTakesTheLargerOfTheMappedScores) {
  // Mapped: one {0, 1, .25}, other {.5, 0, 1}; ids 0 and 4 have no say.
  const Neighbours one{{1, 2, 3, 1, 1}, {9, 2, 6, 3, 9}, 2, 6};
  const Neighbours other{{2, 3, 1, 2, 2}, {-9, -1, -3, 1, 50}, -3, 1};
  const Neighbours found = hybrid(one, other);
  EXPECT_EQ(found.best, (std::vector<int32_t>{1, 3, 3, 2, 1}));
  EXPECT_EQ(found.score, (std::vector<float>{0, 0.5f, 1, 1, 0}));
  // Equal scores say nothing: the other side decides, and ties go to the first.
  const Neighbours equal{{1, 2, 3, 1, 1}, {0, 4, 4, 4, 0}, 4, 4};
  EXPECT_EQ(hybrid(equal, other).best, (std::vector<int32_t>{1, 3, 3, 2, 1}));
  EXPECT_EQ(hybrid(other, equal).best, (std::vector<int32_t>{2, 3, 1, 2, 2}));
  // Pairs that are nobody's nearest count: online products of an item with itself. Now other is
  // mapped to {.2, 0, .4}.
  const Neighbours wide{other.best, other.score, -3, 7};
  EXPECT_EQ(hybrid(one, wide).best, (std::vector<int32_t>{1, 3, 3, 2, 1}));
  EXPECT_FLOAT_EQ(hybrid(one, wide).score[3], 0.4f);
  EXPECT_THROW(hybrid(one, Neighbours{{1, 1, 1}, {0, 0, 0}}), std::invalid_argument);
}

TEST(ItemSimilarity, Names) {
  EXPECT_EQ(item_similarity("itemcf"), ItemSimilarity::kItemCf);
  EXPECT_EQ(item_similarity("itemcf_iuf"), ItemSimilarity::kItemCfIuf);
  EXPECT_EQ(item_similarity("item2vec"), ItemSimilarity::kItem2Vec);
  EXPECT_EQ(item_similarity("random"), ItemSimilarity::kRandom);
  EXPECT_THROW(item_similarity("lightgcn"), std::invalid_argument);
}

void check_real_set(const std::string& folder) {
  const Interactions set = read_sequence_text(folder + "/Sports_and_Outdoors.txt");
  for (const char* name : {"itemcf", "itemcf_iuf", "item2vec"}) {
    const auto start = std::chrono::steady_clock::now();
    const Neighbours found = most_similar(set, item_similarity(name), kKey);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    const auto unknown = std::count(found.score.begin(), found.score.end(), 0.0f);
    std::cout << name << " of Sports in " << took.count() << " s, " << unknown
              << " ids without a neighbour\n";
    EXPECT_LT(took.count(), 20);  // far above what a busy machine takes
    EXPECT_LT(unknown, set.items() / 20);
  }
}

[[maybe_unused]] const bool added = testing::add_real_sequences("ItemSimilarity", check_real_set);

}  // namespace
}  // namespace cltrain
