// k-core: users and items that are seen too seldom are removed, again and again until all that are
// left are seen often enough. The largest such part is unique, so the order of removal is no
// matter.
//
// An interaction counts as often as it occurs. Any thread, any rank; pure.
#pragma once

#include "data/sequences/interactions.h"

#include <cstdint>

namespace cltrain {

struct CoreLimits {
  int64_t user_least = 0;  ///< interactions a user must have; 0 and 1: all may stay
  int64_t item_least = 0;  ///< interactions an item must have
};

/// The part of `interactions` within the limits. If nothing is removed the ids stay as they are;
/// else users and items are numbered anew in their old order, and item_names holds the items' names
/// in the file. The description tells the limits. Throws DataError if no interaction is left, and
/// std::invalid_argument on a negative limit.
Interactions core_filter(const Interactions& interactions, const CoreLimits& limits);

}  // namespace cltrain
