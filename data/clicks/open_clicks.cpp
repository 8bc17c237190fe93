#include "data/clicks/open_clicks.h"

#include "data/clicks/id_hash.h"
#include "data/sequences/open_sequences.h"

#include <utility>

namespace cltrain {

ClickPair open_clicks(const DataOptions& options) {
  if (options.name == "clicks_synthetic") return synthetic_clicks(options.rows, options.max_length);
  return rated_clicks(open_interactions(options), options.click_rating, options.max_length);
}

ClickPair rated_clicks(const Interactions& interactions, double click_rating, int64_t max_length) {
  if (interactions.ratings.empty())
    throw DataError(interactions.description +
                    ": no ratings, and they say what is a click: take a file NAME.inter with a "
                    "column rating in its first line");
  auto table = std::make_shared<ClickTable>(
      ClickColumns({"user_id", "item_id"}, {"item_list", "rating_list"}, max_length));
  std::vector<int64_t> items, ratings;
  for (size_t at = 0; at < interactions.item_ids.size(); ++at) {
    items.push_back(id_hash(interactions.item_name(interactions.item_ids[at])));
    ratings.push_back(id_hash(std::to_string(interactions.ratings[at])));
  }
  const int64_t first_item = table->add_ids(items), first_rating = table->add_ids(ratings);
  std::vector<int64_t> train, test;
  for (int64_t user = 0; user < interactions.users(); ++user) {
    const auto of = static_cast<size_t>(user);
    const int64_t begin = interactions.offsets[of], end = interactions.offsets[of + 1];
    const int64_t user_hash = id_hash(interactions.user_names[of]);
    for (int64_t at = begin; at < end; ++at) {
      const int64_t ids[] = {user_hash, items[static_cast<size_t>(at)]};
      const ClickTable::Range lists[] = {{first_item + begin, first_item + at},
                                         {first_rating + begin, first_rating + at}};
      (at < end - (end - begin) / 10 ? train : test).push_back(table->rows());
      table->add(ids, lists, interactions.ratings[static_cast<size_t>(at)] >= click_rating);
    }
  }
  if (test.empty())
    throw DataError(interactions.description +
                    ": no user has 10 ratings, and the last tenth of each user's rows is the test; "
                    "take users with more (data.user_core=10)");
  ClickPair pair;
  pair.train = std::make_unique<ClickSet>(table, std::move(train), interactions.description);
  pair.test = std::make_unique<ClickSet>(
      table, std::move(test), "the last tenth of each user's rows in " + interactions.description);
  pair.note = "test: " + pair.test->describe();
  return pair;
}

}  // namespace cltrain
