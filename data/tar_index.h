// Where the members of an uncompressed tar file lie, so that each can be read on its own.
//
// Read are V7, POSIX ustar and pax, and GNU tars: long names (GNU 'L', pax `path`, ustar prefix),
// large sizes (base 256, pax `size`). Refused, with a DataError that names file and byte: a
// compressed tar, a header whose checksum is wrong, a member or extended header that goes beyond
// the end of the file, a missing end-of-archive mark (a truncated file), data behind that mark (two
// tars put together with cat, whose second part would be lost without a word), sparse and
// multi-volume members. Nothing is allocated by a size that was not compared with the file's.
//
// Any thread; a file may be read by many threads at once.
// Source: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

namespace cltrain {

/// A file that is open for reading at any place.
class ShardFile {
 public:
  /// Throws std::system_error with the system's error number, or DataError for what is no regular
  /// file.
  explicit ShardFile(std::filesystem::path path);
  ~ShardFile();
  ShardFile(const ShardFile&) = delete;
  ShardFile& operator=(const ShardFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  uint64_t size() const { return size_; }  ///< bytes, when it was opened
  /// Fills `bytes` from byte `offset` on. Throws std::system_error, or DataError when the file ends
  /// before.
  void read(uint64_t offset, std::span<uint8_t> bytes) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

struct TarMember {
  std::string name;               ///< as written in the tar; never empty
  char type = '0';                ///< '0' file, '1' and '2' links, '5' folder, ...
  uint64_t header = 0;            ///< byte of its header, for messages
  uint64_t offset = 0, size = 0;  ///< its bytes; within the file
};

/// Calls `visit` for each member, in the order of the tar.
void walk_tar(const ShardFile& file, const std::function<void(const TarMember&)>& visit);

}  // namespace cltrain
