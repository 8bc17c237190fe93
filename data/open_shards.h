// Reads pieces of many files through a bounded set of open ones: there may be far more shards than
// a process may have descriptors.
//
// Any thread. Files are opened when they are first asked for; when the set is full, the one that
// was opened first is closed, as soon as nobody reads from it. With random order no other choice
// would do better.
#pragma once

#include "data/tar_index.h"

#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace cltrain {

class OpenShards {
 public:
  explicit OpenShards(std::vector<std::filesystem::path> paths);

  /// `size` bytes of file number `file` from byte `offset` on. Throws BadSample ("unreadable") when
  /// they cannot be had, naming `what`; DataError when the process has no descriptor or memory
  /// left.
  std::vector<uint8_t> read(size_t file, uint64_t offset, uint64_t size,
                            const std::string& what) const;
  size_t capacity() const { return capacity_; }

 private:
  std::shared_ptr<const ShardFile> get(size_t file) const;

  const std::vector<std::filesystem::path> paths_;
  const size_t capacity_;
  mutable std::mutex mutex_;                                    // guards what follows
  mutable std::vector<std::shared_ptr<const ShardFile>> open_;  // by file number; null: closed
  mutable std::deque<size_t> order_;                            // open files, oldest first
};

}  // namespace cltrain
