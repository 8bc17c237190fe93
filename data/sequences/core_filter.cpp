#include "data/sequences/core_filter.h"

#include "data/dataset.h"

#include <stdexcept>
#include <vector>

namespace cltrain {
namespace {

struct Kept {
  std::vector<uint8_t> users, items;  // 1: stays; items by id
  bool all = true;
};

Kept core(const Interactions& interactions, const CoreLimits& limits) {
  Kept kept;
  kept.users.assign(static_cast<size_t>(interactions.users()), 1);
  kept.items.assign(static_cast<size_t>(interactions.items()) + 1, 1);
  std::vector<int64_t> item_counts(kept.items.size());
  for (const int32_t item : interactions.item_ids) ++item_counts[static_cast<size_t>(item)];
  for (bool changed = true; changed;) {
    changed = false;
    // An id that never occurs is not in the way: alone it does not cost the others their numbers.
    for (size_t item = 1; item < kept.items.size(); ++item)
      if (kept.items[item] && item_counts[item] > 0 && item_counts[item] < limits.item_least) {
        kept.items[item] = 0;
        changed = true;
      }
    for (size_t user = 0; user < kept.users.size(); ++user) {
      if (!kept.users[user]) continue;
      const auto history = interactions.history(static_cast<int64_t>(user));
      int64_t count = 0;
      for (const int32_t item : history) count += kept.items[static_cast<size_t>(item)];
      if (count > 0 && count >= limits.user_least) continue;
      kept.users[user] = 0;
      changed = true;
      for (const int32_t item : history) --item_counts[static_cast<size_t>(item)];
    }
    kept.all = kept.all && !changed;
  }
  for (size_t item = 1; item < kept.items.size(); ++item)
    kept.items[item] = kept.items[item] && item_counts[item] > 0;
  return kept;
}

Interactions renumbered(const Interactions& old, const Kept& kept) {
  Interactions result;
  result.item_names.emplace_back();
  std::vector<int32_t> new_id(kept.items.size());
  for (size_t item = 1; item < kept.items.size(); ++item) {
    if (!kept.items[item]) continue;
    new_id[item] = ++result.item_count;
    result.item_names.push_back(old.item_name(static_cast<int32_t>(item)));
  }
  for (size_t user = 0; user < kept.users.size(); ++user) {
    if (!kept.users[user]) continue;
    for (auto at = static_cast<size_t>(old.offsets[user]);
         at < static_cast<size_t>(old.offsets[user + 1]); ++at) {
      const int32_t id = new_id[static_cast<size_t>(old.item_ids[at])];
      if (id == 0) continue;
      result.item_ids.push_back(id);
      if (!old.ratings.empty()) result.ratings.push_back(old.ratings[at]);
    }
    result.offsets.push_back(result.interactions());
    result.user_names.push_back(old.user_names[user]);
  }
  return result;
}

}  // namespace

Interactions core_filter(const Interactions& interactions, const CoreLimits& limits) {
  if (limits.user_least < 0 || limits.item_least < 0)
    throw std::invalid_argument("k-core of " + std::to_string(limits.user_least) +
                                " interactions a user and " + std::to_string(limits.item_least) +
                                " an item; allowed: 0 or more");
  if (limits.user_least <= 1 && limits.item_least <= 1) return interactions;
  const Kept kept = core(interactions, limits);
  Interactions result = kept.all ? interactions : renumbered(interactions, kept);
  const std::string told = "at least " + std::to_string(limits.user_least) +
                           " interactions a user and " + std::to_string(limits.item_least) +
                           " an item";
  if (result.interactions() == 0)
    throw DataError(interactions.description + ": " + told + " leave no interaction of " +
                    std::to_string(interactions.interactions()) +
                    ": lower the limits of the k-core");
  result.description = interactions.description + ", " + told;
  return result;
}

}  // namespace cltrain
