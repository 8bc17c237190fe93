#include "train/files.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <unistd.h>

namespace cltrain {
namespace {

[[noreturn]] void fail(const char* action, const std::filesystem::path& path) {
  throw IoError(std::string("cannot ") + action + " " + path.string() + ": " +
                std::strerror(errno) + "; look at free space and permissions");
}

/// Closes on every way out.
struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) close(value);
  }
};

}  // namespace

void write_file_durably(const std::filesystem::path& path,
                        const std::vector<std::string_view>& pieces) {
  Descriptor file{open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
  if (file.value < 0) fail("create", path);
  for (std::string_view piece : pieces) {
    while (!piece.empty()) {
      const ssize_t written = write(file.value, piece.data(), piece.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("write", path);
      piece.remove_prefix(static_cast<size_t>(written));
    }
  }
  if (fsync(file.value) != 0) fail("fsync", path);
}

void replace_file_durably(const std::filesystem::path& path, std::string_view text) {
  const std::filesystem::path temporary = path.string() + ".tmp";
  write_file_durably(temporary, {text});
  if (std::rename(temporary.c_str(), path.c_str()) != 0) fail("replace", path);
  sync_folder(path.parent_path());
}

void sync_folder(const std::filesystem::path& folder) {
  const Descriptor file{open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.value < 0 || fsync(file.value) != 0) fail("fsync", folder);
}

std::string read_file(const std::filesystem::path& path) {
  // Not by `stream << file.rdbuf()`: a failing read would end the text early and say nothing.
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::vector<char> buffer(1 << 16);
  while (file) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    text.append(buffer.data(), static_cast<size_t>(file.gcount()));
  }
  if (!file.eof() || file.bad()) throw std::runtime_error("cannot read " + path.string());
  return text;
}

}  // namespace cltrain
