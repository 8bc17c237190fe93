// Where the weights of a borrowed network are (models/method.h): a file of weights, or a run's
// newest checkpoint, whose options are then compared.
#pragma once

#include "configs/option_table.h"
#include "models/method.h"

#include <filesystem>

namespace cltrain {

/// The file for load_initial_weights. Every rank reads it by itself. Throws ConfigError where the
/// run was made with other options than `table` has, of those that must be alike, and
/// CheckpointError where it has no checkpoint or is not finished.
std::filesystem::path weights_file_of(const BorrowedNetwork& network, const OptionTable& table);

}  // namespace cltrain
