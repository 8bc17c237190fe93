// Rows of clicks: hashes, columns, lists cut to the window, splits by time, the synthetic rule.
#include "data/clicks/click_table.h"

#include "data/clicks/id_hash.h"
#include "data/clicks/open_clicks.h"
#include "tests/support/sequence_lists.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

std::pair<std::vector<int64_t>, float> row_of(const ClickSet& set, int64_t position) {
  std::vector<int64_t> features(static_cast<size_t>(set.columns().width()), -1);
  float click = -1;
  std::byte* const outs[] = {reinterpret_cast<std::byte*>(features.data()),
                             reinterpret_cast<std::byte*>(&click)};
  ClickRows(set).make(position, {}, outs);
  return {features, click};
}

// Written down from a computation outside of this program (see the formula in id_hash.h).
TEST(IdHash, IsTheSameForEver) {
  EXPECT_EQ(id_hash("a"), 189900332573052507);
  EXPECT_EQ(id_hash("196"), 1637805203156358739);
  EXPECT_EQ(id_hash("tag|x"), 7756710893937661361);
  EXPECT_EQ(id_hash(""), 0);
}

TEST(IdHash, SpreadsOverBuckets) {
  std::map<int64_t, int> buckets;
  std::set<int64_t> all;
  for (int id = 0; id < 10000; ++id) {
    const int64_t hash = id_hash(std::to_string(id));
    EXPECT_GT(hash, 0);
    all.insert(hash);
    ++buckets[hash % 100];
  }
  EXPECT_EQ(all.size(), 10000u);
  double chi_squared = 0;
  for (int64_t bucket = 0; bucket < 100; ++bucket)
    chi_squared += std::pow(buckets[bucket] - 100, 2) / 100;
  EXPECT_LT(chi_squared, 150);  // 99 degrees of freedom: above it with chance 0.0007
}

TEST(ClickTable, CellsAreHashedAndListsKeepTheirEnd) {
  auto table = std::make_shared<ClickTable>(ClickColumns({"user", "item"}, {"brands", "kinds"}, 3));
  const std::string full[] = {"u1", "", "a|b|c|d", "k"}, empty[] = {"u2", "i2", "", "k|k"};
  table->add(full, true);
  table->add(empty, false);
  const ClickSet set(table, {1, 0}, "a table");
  EXPECT_EQ(set.columns().width(), 8);
  EXPECT_EQ(set.columns().find("kinds")->begin, 5);
  EXPECT_EQ(set.columns().find("kind"), nullptr);
  EXPECT_EQ(set.describe(), "a table, 2 rows, 50.0 % clicks");
  EXPECT_EQ(set.source_id(0), 1);
  const int64_t k = id_hash("k");
  EXPECT_EQ(row_of(set, 1), std::pair(std::vector<int64_t>{id_hash("u1"), 0, id_hash("b"),
                                                           id_hash("c"), id_hash("d"), k, 0, 0},
                                      1.0f));
  EXPECT_EQ(row_of(set, 0),
            std::pair(std::vector<int64_t>{id_hash("u2"), id_hash("i2"), 0, 0, 0, k, k, 0}, 0.0f));
  const std::string short_row[] = {"u1"};
  EXPECT_THROW(table->add(short_row, true), std::invalid_argument);
  EXPECT_THROW(ClickColumns({"user"}, {"user"}, 3), std::invalid_argument);
  EXPECT_THROW(ClickColumns({"user"}, {}, 0), std::invalid_argument);
  EXPECT_THROW(ClickSet(table, {0}, "one kind"), DataError);
}

TEST(RatedClicks, HistoriesAreWhatCameBeforeAndTheLastTenthIsTheTest) {
  testing::Lists lists{{}, {7, 8}};
  for (int32_t item = 1; item <= 21; ++item) lists[0].push_back(item);
  Interactions all = testing::interactions_of(lists);
  for (int64_t i = 0; i < all.interactions(); ++i)
    all.ratings.push_back(static_cast<float>(1 + i % 5));
  const ClickPair pair = rated_clicks(all, 4, 4);
  ASSERT_EQ(pair.train->size(), 19 + 2);
  ASSERT_EQ(pair.test->size(), 2);
  EXPECT_TRUE(pair.rule.empty());
  const auto item = [](int id) { return id_hash(std::to_string(id)); };
  const auto rating = [](int stars) { return id_hash(std::to_string(static_cast<float>(stars))); };
  using Numbers = std::vector<int64_t>;
  EXPECT_EQ(row_of(*pair.train, 0),
            std::pair(Numbers({id_hash("u0"), item(1), 0, 0, 0, 0, 0, 0, 0, 0}), 0.0f));
  EXPECT_EQ(row_of(*pair.train, 3),
            std::pair(Numbers({id_hash("u0"), item(4), item(1), item(2), item(3), 0, rating(1),
                               rating(2), rating(3), 0}),
                      1.0f));
  // The history of a test row reaches back into the training rows, the last four of them.
  EXPECT_EQ(row_of(*pair.test, 0),
            std::pair(Numbers({id_hash("u0"), item(20), item(16), item(17), item(18), item(19),
                               rating(1), rating(2), rating(3), rating(4)}),
                      1.0f));
  // Another user's list does not begin with what this one had.
  EXPECT_EQ(row_of(*pair.train, 19).first[2], 0);
  all.ratings.clear();
  EXPECT_THROW(rated_clicks(all, 4, 4), DataError);
}

TEST(SyntheticClicks, FollowTheRule) {
  const ClickPair pair = synthetic_clicks(5000, 24);
  ASSERT_EQ(pair.train->size(), 4000);
  ASSERT_EQ(pair.test->size(), 1000);
  const ClickColumns& columns = pair.test->columns();
  double expected = 0, clicked = 0;
  std::map<int64_t, int64_t> taste_of_brand;
  for (int64_t brand = 0; brand < 120; ++brand)
    taste_of_brand[id_hash(std::to_string(brand))] = brand % 4;
  // The rule, from the columns alone: the taste is that of most brands of the list.
  int64_t agree = 0;
  for (int64_t position = 0; position < pair.test->size(); ++position) {
    const auto [row, click] = row_of(*pair.test, position);
    const double chance = pair.rule[static_cast<size_t>(position)];
    expected += chance;
    clicked += click;
    int64_t votes[4] = {};
    const int64_t list = columns.find("tag_brand_list")->begin;
    for (int64_t step = 0; step < 24 && row[static_cast<size_t>(list + step)] != 0; ++step)
      ++votes[taste_of_brand.at(row[static_cast<size_t>(list + step)])];
    const int64_t taste = std::max_element(votes, votes + 4) - votes;
    const auto at = [&](const char* name) {
      return row[static_cast<size_t>(columns.find(name)->begin)];
    };
    bool cheap = false;
    for (int price = 0; price < 10; ++price) cheap |= at("price") == id_hash(std::to_string(price));
    const double logit = -1.6 + 2.6 * (taste_of_brand.at(at("brand")) == taste) + 0.8 * cheap -
                         0.6 * (at("pid") == id_hash("430548_1007"));
    agree += std::abs(1 / (1 + std::exp(-logit)) - chance) < 1e-12;
  }
  EXPECT_GT(agree, 0.93 * 1000);
  EXPECT_NEAR(clicked, expected, 4 * std::sqrt(expected));
  EXPECT_EQ(row_of(*synthetic_clicks(100, 24).test, 7), row_of(*pair.test, 7));
}

}  // namespace
}  // namespace cltrain
