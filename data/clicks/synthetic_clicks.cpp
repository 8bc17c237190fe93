#include "data/clicks/open_clicks.h"
#include "ops/keyed_random.h"

#include <array>
#include <cmath>
#include <utility>

namespace cltrain {
namespace {

/// Of the set, not of a run: the rows are data.
constexpr PhiloxKey kSetKey{0x434c4943u, 0x4b530001u};

constexpr uint64_t kUsers = 1000, kItems = 2000, kBrands = 120, kCategories = 30, kTastes = 4;
constexpr uint64_t kShortest = 4, kLongest = 24;  ///< of the lists

const std::vector<std::string> kIds = {
    // of the item
    "adgroup_id", "campaign_id", "cate_id", "brand", "customer", "price", "pid",
    // of the user
    "user_id", "cms_segid", "cms_group_id", "age_level", "pvalue_level", "shopping_level",
    "occupation", "new_user_class_level"};
const std::vector<std::string> kLists = {"tag_brand_list", "tag_category_list"};

/// Values of pid, which are hashed into different ones of few buckets.
constexpr const char* kPlaces[] = {"430539_1007", "430548_1007"};
constexpr size_t kPlaceColumn = 6;

uint64_t category_of(uint64_t brand) {
  return brand % kCategories;
}

struct Row {
  std::vector<std::string> cells;
  double chance;
  bool click;
};

Row row_of(int64_t number) {
  KeyedStream draw(kSetKey, static_cast<uint64_t>(number), 0, 0);
  const uint64_t user = draw.below(kUsers), item = draw.below(kItems), taste = draw.below(kTastes);
  const uint64_t brand = item % kBrands, price = item * 7 % 50, pid = draw.below(2);
  Row row;
  for (const uint64_t id : {item, item / 4, category_of(brand), brand, item / 8, price, pid, user,
                            user % 90, user % 12, user % 6, user % 3, user % 4, user % 2, user % 5})
    row.cells.push_back(std::to_string(id));
  row.cells[kPlaceColumn] = kPlaces[pid];
  std::string brands, categories;
  const uint64_t length = kShortest + draw.below(kLongest - kShortest + 1);
  for (uint64_t step = 0; step < length; ++step) {
    uint64_t liked = draw.below(kBrands);
    if (draw.chance(2.0 / 3)) liked = liked / kTastes * kTastes + taste;
    brands += (step ? "|" : "") + std::to_string(liked);
    categories += (step ? "|" : "") + std::to_string(category_of(liked));
  }
  row.cells.push_back(brands);
  row.cells.push_back(categories);
  const double logit =
      -1.6 + 2.6 * (brand % kTastes == taste) + 0.8 * (price < 10) - 0.6 * (pid == 1);
  row.chance = 1 / (1 + std::exp(-logit));
  row.click = draw.chance(row.chance);
  return row;
}

}  // namespace

ClickPair synthetic_clicks(int64_t rows, int64_t max_length) {
  auto table = std::make_shared<ClickTable>(ClickColumns(kIds, kLists, max_length));
  ClickPair pair;
  std::vector<int64_t> train, test;
  for (int64_t number = 0; number < rows; ++number) {
    const Row row = row_of(number);
    table->add(row.cells, row.click);
    (number % 5 == 4 ? test : train).push_back(number);
    if (number % 5 == 4) pair.rule.push_back(row.chance);
  }
  pair.train = std::make_unique<ClickSet>(table, std::move(train), "clicks by a known rule");
  pair.test = std::make_unique<ClickSet>(table, std::move(test), "every fifth row");
  pair.note = "test: " + pair.test->describe();
  return pair;
}

}  // namespace cltrain
