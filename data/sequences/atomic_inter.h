// RecBole's atomic file of interactions, NAME.inter (recbole.io, "Atomic Files"): text, separated
// by tabs, with a header of typed columns
//
//   user_id:token  item_id:token  rating:float  timestamp:float
//
// in any order. user_id and item_id are needed; further columns are passed over, and so are the
// types: what a column holds goes by its name.
//
// With `timestamp` each user's items are sorted by it, those of the same time remaining in the
// order of the file; without, the order of the file is taken as it is. `rating` is kept, aligned
// with the items. Users and items are numbered in the order in which their names first occur in the
// file, among the lines that are kept: sorting does not change the numbers.
//
// Every rank reads its own copy; 100,000 lines take about 50 ms. Throws DataError with file:line on
// a missing column, a line with too few or too many fields, an empty id, a rating or timestamp that
// is no finite number, and on a file without interactions.
#pragma once

#include "data/sequences/interactions.h"

#include <filesystem>
#include <optional>

namespace cltrain {

struct AtomicInterOptions {
  std::optional<double> least_rating;  ///< lines below it are left out; needs the column `rating`
};

Interactions read_atomic_inter(const std::filesystem::path& path,
                               const AtomicInterOptions& options = {});

}  // namespace cltrain
