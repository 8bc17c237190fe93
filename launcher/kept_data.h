// What a recommender's run keeps of its data, so that its numbers mean the same ever after:
//   items.tsv, users.tsv   "number<TAB>name" of each, as in the tables of embeddings
//   data.sha256            of all users' lists with those names
#pragma once

#include "launcher/run_data.h"

#include <filesystem>

namespace cltrain {

/// On rank 0, of a run that begins or goes on: writes the files where they are missing. Throws
/// DataError as check_data() does, and IoError. Does nothing for data without such numbers.
void keep_data(const RunData& data, const std::filesystem::path& run);

/// Throws DataError where the run was made with other lists, or another order of them, whatever
/// their file is called. A folder without data.sha256 passes.
void check_data(const RunData& data, const std::filesystem::path& run);

}  // namespace cltrain
