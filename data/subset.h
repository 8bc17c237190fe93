// A part of a data set, in the order of a list of source ids (data.index_list).
// Thread-safe like the set it is made of, which it owns.
#pragma once

#include "data/dataset.h"

#include <memory>
#include <string>
#include <vector>

namespace cltrain {

/// Position p of the result is image `ids[p]` of `whole`. Throws DataError when the list is empty,
/// leaves 0 .. whole->size() - 1 or names an image twice; `list_name` is the file to blame.
std::unique_ptr<Dataset> pick(std::unique_ptr<Dataset> whole, std::vector<int64_t> ids,
                              const std::string& list_name);

}  // namespace cltrain
