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
  throw IoError(std::string("cannot ") + action + " " + path.string() + ": " +
                std::strerror(error) + "; look at free space and permissions");
}

// Opens, fsyncs, closes.
void sync(const fs::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail("open", path, errno);
  const int error = fsync(descriptor) == 0 ? 0 : errno;
  close(descriptor);
  if (error) fail("fsync", path, error);
}

void write_all(int descriptor, const void* data, size_t bytes, const fs::path& path) {
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor, from, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write", path, errno);
    from += written;
    bytes -= static_cast<size_t>(written);
  }
}

int create(const fs::path& path) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) fail("create", path, errno);
  return descriptor;
}

void replace(const fs::path& temporary, const fs::path& path) {
  if (std::rename(temporary.c_str(), path.c_str()) != 0) fail("replace", path, errno);
}

}  // namespace

DurableFile::DurableFile(fs::path path)
    : path_(std::move(path)),
      temporary_(path_.string() + ".tmp"),
      descriptor_(create(temporary_)) {}

DurableFile::~DurableFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

void DurableFile::write(const void* data, size_t bytes) {
  write_all(descriptor_, data, bytes, temporary_);
}

void DurableFile::commit() {
  if (fsync(descriptor_) != 0) fail("fsync", temporary_, errno);
  replace(temporary_, path_);
  close(descriptor_);
  descriptor_ = -1;
  sync_folder(path_.parent_path());
}

void replace_file_durably(const fs::path& path, std::string_view text) {
  DurableFile file(path);
  file.write(text.data(), text.size());
  file.commit();
}

void publish_file(const fs::path& temporary, const fs::path& path) {
  sync(temporary);
  replace(temporary, path);
  sync_folder(path.parent_path());
}

void remove_durably(const fs::path& path) {
  if (unlink(path.c_str()) == 0) return sync_folder(path.parent_path());
  if (errno != ENOENT) fail("remove", path, errno);
}

void write_file_durably(const fs::path& path, const std::vector<std::string_view>& pieces) {
  /// Closes on every way out.
  struct Descriptor {
    int value;
    ~Descriptor() { close(value); }
  } const file{create(path)};
  for (const std::string_view piece : pieces)
    write_all(file.value, piece.data(), piece.size(), path);
  if (fsync(file.value) != 0) fail("fsync", path, errno);
}

void sync_folder(const fs::path& folder) {
  sync(folder.empty() ? fs::path(".") : folder);
}

}  // namespace cltrain
