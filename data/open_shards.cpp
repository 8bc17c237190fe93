#include "data/open_shards.h"

#include "data/dataset.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <sys/resource.h>

namespace cltrain {
namespace {

constexpr size_t kMostOpenFiles = 512;

/// A quarter of what the process may open: the rest is for sockets, the run's files and other sets.
size_t files_to_keep_open() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return kMostOpenFiles;
  return std::clamp<size_t>(limit.rlim_cur / 4, 1, kMostOpenFiles);
}

}  // namespace

OpenShards::OpenShards(std::vector<std::filesystem::path> paths)
    : paths_(std::move(paths)), capacity_(files_to_keep_open()), open_(paths_.size()) {}

std::shared_ptr<const ShardFile> OpenShards::get(size_t file) const {
  {
    const std::lock_guard lock(mutex_);
    if (open_[file]) return open_[file];
  }
  // Opened without the lock: on a network file system it takes its time. Of two threads that open
  // the same file, the second one's is used once and closed.
  auto opened = std::make_shared<const ShardFile>(paths_[file]);
  const std::lock_guard lock(mutex_);
  if (open_[file]) return opened;
  if (order_.size() == capacity_) {
    open_[order_.front()] = nullptr;
    order_.pop_front();
  }
  open_[file] = opened;
  order_.push_back(file);
  return opened;
}

std::vector<uint8_t> OpenShards::read(size_t file, uint64_t offset, uint64_t size,
                                      const std::string& what) const {
  try {
    const auto shard = get(file);
    if (offset > shard->size() || size > shard->size() - offset)
      throw BadSample("unreadable", what + ": the shard has shrunk to " +
                                        std::to_string(shard->size()) + " bytes since the start");
    std::vector<uint8_t> bytes(size);
    shard->read(offset, bytes);
    return bytes;
  } catch (const std::system_error& error) {
    const int code = error.code().value();
    if (code == EMFILE || code == ENFILE || code == ENOMEM)
      throw DataError(what + ": " + error.what() + "; raise the limits of the process (ulimit -n)");
    throw BadSample("unreadable", what + ": " + error.what());
  } catch (const BadSample&) {
    throw;
  } catch (const DataError& error) {  // the file ended early, or is no regular file any more
    throw BadSample("unreadable", what + ": " + error.what());
  }
}

}  // namespace cltrain
