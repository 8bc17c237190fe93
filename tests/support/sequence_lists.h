// Sets of sequences made in memory, given or drawn.
#pragma once

#include "data/sequences/interactions.h"
#include "ops/keyed_random.h"

#include <algorithm>
#include <string>
#include <vector>

namespace cltrain::testing {

using Lists = std::vector<std::vector<int32_t>>;

/// Users "u0", "u1", ...; items keep their numbers, up to `items` or the largest.
inline Interactions interactions_of(const Lists& lists, int32_t items = 0) {
  Interactions result;
  result.item_count = items;
  for (const auto& list : lists) {
    for (const int32_t item : list) {
      result.item_ids.push_back(item);
      result.item_count = std::max(result.item_count, item);
    }
    result.user_names.push_back("u" + std::to_string(result.users()));
    result.offsets.push_back(result.interactions());
  }
  result.description = "a set in memory";
  return result;
}

inline Lists lists_of(const Interactions& interactions) {
  Lists lists;
  for (int64_t user = 0; user < interactions.users(); ++user) {
    const auto history = interactions.history(user);
    lists.emplace_back(history.begin(), history.end());
  }
  return lists;
}

/// Lists of 1 to `longest` items of 1 .. `items`, low ones more often, repeats among them.
inline Lists drawn_lists(uint64_t seed, int64_t users, int32_t items, int64_t longest) {
  const PhiloxKey key = random_key(seed, Purpose::kProbe, 0);
  Lists lists(static_cast<size_t>(users));
  for (size_t user = 0; user < lists.size(); ++user) {
    KeyedStream stream(key, user, 0, 0);
    lists[user].resize(1 + stream.below(static_cast<uint64_t>(longest)));
    for (int32_t& item : lists[user]) {
      const double uniform = stream.uniform();
      item = 1 + static_cast<int32_t>(uniform * uniform * items);
    }
  }
  return lists;
}

}  // namespace cltrain::testing
