// Files that survive a crash: written whole under a temporary name, fsynced, renamed, and the
// folder fsynced. Called on rank 0 only. Throws IoError naming the file and the system's reason.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace cltrain {

/// Writing a checkpoint or a result failed: exit code 74.
class IoError : public std::runtime_error {
  using runtime_error::runtime_error;
};

/// A checkpoint is unreadable, damaged or of other shapes: exit code 5.
class CheckpointError : public std::runtime_error {
  using runtime_error::runtime_error;
};

/// The run directory belongs to another run, or its options changed: exit code 4.
class RunDirectoryError : public std::runtime_error {
  using runtime_error::runtime_error;
};

/// Creates `path` with the pieces one after the other, and fsyncs it.
void write_file_durably(const std::filesystem::path& path,
                        const std::vector<std::string_view>& pieces);
/// The same through `path`.tmp and a rename: readers see the old file or the new one, never half.
void replace_file_durably(const std::filesystem::path& path, std::string_view text);
/// Makes renames within the folder durable.
void sync_folder(const std::filesystem::path& folder);
/// The whole file. Throws std::runtime_error.
std::string read_file(const std::filesystem::path& path);

}  // namespace cltrain
