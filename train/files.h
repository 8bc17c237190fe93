// The files of a run: how they are written (data/durable_file.h), read, and what may be wrong with
// them. Called on rank 0 only.
#pragma once

#include "data/durable_file.h"

#include <filesystem>
#include <stdexcept>
#include <string>

namespace cltrain {

/// A checkpoint is unreadable, damaged or of other shapes: exit code 5.
class CheckpointError : public std::runtime_error {
  using runtime_error::runtime_error;
};

/// The run directory belongs to another run, or its options changed: exit code 4.
class RunDirectoryError : public std::runtime_error {
  using runtime_error::runtime_error;
};

/// The whole file. Throws std::runtime_error.
std::string read_file(const std::filesystem::path& path);

}  // namespace cltrain
