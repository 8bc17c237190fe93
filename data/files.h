// Reading whole files into memory, with limits: the shared floor of the readers.
//
// Any thread. Throws DataError that names the file and what is wrong with it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cltrain {

/// The file's bytes. Refuses what is no regular file, is unreadable, or holds more than `limit`.
std::vector<uint8_t> read_file(const std::filesystem::path& path, uint64_t limit);

/// A file that must hold exactly `size` bytes; `what` says what they are ("10000 records of ...").
std::vector<uint8_t> read_file_of_size(const std::filesystem::path& path, uint64_t size,
                                       const std::string& what);

/// Reads a gzip file, or a plain one, front to back. Damage in the compressed data is found where
/// it lies. Not thread-safe; each file has its own.
class GzipReader {
 public:
  explicit GzipReader(const std::filesystem::path& path);
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  /// Up to `count` bytes; fewer only at the end of the file. Grows with what is really there, so a
  /// header that promises too much costs no memory.
  std::vector<uint8_t> read(uint64_t count);

 private:
  std::filesystem::path path_;
  void* file_;
};

/// Throws DataError unless `path` is a folder that can be read. `option` names what to set.
void require_folder(const std::filesystem::path& path, const std::string& option,
                    const std::string& expected);

}  // namespace cltrain
