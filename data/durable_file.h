// Files that are whole or not there: written under a temporary name beside the target, fsynced,
// renamed, and the folder fsynced. Readers see the old file or the new one, never half of one.
//
// Any thread; by one rank for one path. Throws IoError naming the file and the system's reason.
#pragma once

#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace cltrain {

/// A checkpoint or a result cannot be written: exit code 74.
class IoError : public std::runtime_error {
  using runtime_error::runtime_error;
};

class DurableFile {
 public:
  /// Opens `path`.tmp; what is left of an earlier attempt goes.
  explicit DurableFile(std::filesystem::path path);
  /// Without commit(): removes the temporary file.
  ~DurableFile();
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  void write(const void* data, size_t bytes);
  /// Makes the file visible under its name. Call once, last.
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  int descriptor_;
};

/// The whole file at once.
void replace_file_durably(const std::filesystem::path& path, std::string_view text);

/// fsync and rename of a file that something else has written, in the same folder.
void publish_file(const std::filesystem::path& temporary, const std::filesystem::path& path);

/// Removes a file, durably; none there is no error.
void remove_durably(const std::filesystem::path& path);

/// Creates `path` itself, in a folder that nobody looks into yet, with the pieces one after the
/// other, and fsyncs it.
void write_file_durably(const std::filesystem::path& path,
                        const std::vector<std::string_view>& pieces);
/// Makes renames within the folder durable.
void sync_folder(const std::filesystem::path& folder);

}  // namespace cltrain
