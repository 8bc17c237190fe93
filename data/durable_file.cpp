#include "data/durable_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const char* action, const fs::path& path, int error) {
  throw WriteError(std::string("cannot ") + action + " " + path.string() + ": " +
                   std::strerror(error) + "; free space or name another folder");
}

// Opens, fsyncs, closes.
void sync(const fs::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail("open", path, errno);
  const int error = fsync(descriptor) == 0 ? 0 : errno;
  close(descriptor);
  if (error) fail("fsync", path, error);
}

void sync_parent(const fs::path& path) {
  sync(path.has_parent_path() ? path.parent_path() : fs::path("."));
}

}  // namespace

DurableFile::DurableFile(fs::path path)
    : path_(std::move(path)),
      temporary_(path_.string() + ".tmp"),
      descriptor_(open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {
  if (descriptor_ < 0) fail("create", temporary_, errno);
}

DurableFile::~DurableFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

void DurableFile::write(const void* data, size_t bytes) {
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, from, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write", temporary_, errno);
    from += written;
    bytes -= static_cast<size_t>(written);
  }
}

void DurableFile::commit() {
  if (fsync(descriptor_) != 0) fail("fsync", temporary_, errno);
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail("rename", temporary_, errno);
  close(descriptor_);
  descriptor_ = -1;
  sync_parent(path_);
}

void write_durable_file(const fs::path& path, std::string_view bytes) {
  DurableFile file(path);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

void publish_file(const fs::path& temporary, const fs::path& path) {
  sync(temporary);
  if (std::rename(temporary.c_str(), path.c_str()) != 0) fail("rename", temporary, errno);
  sync_parent(path);
}

void remove_durably(const fs::path& path) {
  if (unlink(path.c_str()) == 0) return sync_parent(path);
  if (errno != ENOENT) fail("remove", path, errno);
}

}  // namespace cltrain
