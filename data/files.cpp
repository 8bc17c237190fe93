#include "data/files.h"

#include "data/dataset.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include <zlib.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

void require_regular_file(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) throw DataError(path.string() + ": no such file");
  if (error) throw DataError(path.string() + ": cannot be read: " + error.message());
  if (status.type() != fs::file_type::regular)
    throw DataError(path.string() + ": is not a regular file");
}

}  // namespace

std::vector<uint8_t> read_file(const fs::path& path, uint64_t limit) {
  require_regular_file(path);
  std::ifstream stream(path, std::ios::binary | std::ios::ate);
  if (!stream)
    throw DataError(path.string() + ": cannot be opened for reading: " + std::strerror(errno));
  const auto size = static_cast<uint64_t>(std::max<std::streamoff>(stream.tellg(), 0));
  if (size > limit)
    throw DataError(path.string() + ": " + std::to_string(size) + " bytes, at most " +
                    std::to_string(limit) + " are allowed");
  std::vector<uint8_t> bytes(size);
  stream.seekg(0);
  stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
  if (static_cast<uint64_t>(stream.gcount()) != size)
    throw DataError(path.string() + ": only " + std::to_string(stream.gcount()) + " of " +
                    std::to_string(size) + " bytes could be read");
  return bytes;
}

std::vector<uint8_t> read_file_of_size(const fs::path& path, uint64_t size,
                                       const std::string& what) {
  require_regular_file(path);
  std::error_code error;
  const uint64_t found = fs::file_size(path, error);
  if (error) throw DataError(path.string() + ": cannot be read: " + error.message());
  if (found != size)
    throw DataError(path.string() + ": " + std::to_string(found) + " bytes, expected exactly " +
                    std::to_string(size) + " (" + what +
                    "); the file is damaged or another one: fetch it again");
  return read_file(path, size);
}

GzipReader::GzipReader(const fs::path& path) : path_(path) {
  require_regular_file(path);
  file_ = gzopen(path.c_str(), "rb");
  if (!file_)
    throw DataError(path.string() + ": cannot be opened for reading: " + std::strerror(errno));
  gzbuffer(static_cast<gzFile>(file_), 1 << 17);
}

GzipReader::~GzipReader() {
  gzclose(static_cast<gzFile>(file_));
}

std::vector<uint8_t> GzipReader::read(uint64_t count) {
  constexpr uint64_t kPiece = uint64_t{1} << 20;
  const auto file = static_cast<gzFile>(file_);
  std::vector<uint8_t> bytes;
  while (bytes.size() < count) {
    const size_t before = bytes.size();
    const uint64_t wanted = std::min(kPiece, count - before);
    bytes.resize(before + wanted);
    const int got = gzread(file, bytes.data() + before, static_cast<unsigned>(wanted));
    int code = Z_OK;
    const char* message = gzerror(file, &code);
    if (got < 0 || (code != Z_OK && code != Z_STREAM_END)) {
      const std::string reason = code == Z_ERRNO ? std::strerror(errno) : message;
      throw DataError(path_.string() + ": damaged or truncated gzip data (" + reason +
                      "): fetch the file again");
    }
    bytes.resize(before + static_cast<size_t>(got));
    if (static_cast<uint64_t>(got) < wanted) break;
  }
  return bytes;
}

void require_folder(const fs::path& path, const std::string& option, const std::string& expected) {
  if (path.empty())
    throw DataError(option + " is empty; expected a folder with " + expected + ": set " + option +
                    "=FOLDER");
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  const std::string advice = "; expected a folder with " + expected + ": set " + option + "=FOLDER";
  if (status.type() == fs::file_type::not_found)
    throw DataError(path.string() + ": no such folder" + advice);
  if (error) throw DataError(path.string() + ": cannot be read: " + error.message() + advice);
  if (status.type() != fs::file_type::directory)
    throw DataError(path.string() + ": is not a folder" + advice);
  const fs::directory_iterator entries(path, error);
  if (error) throw DataError(path.string() + ": cannot be read: " + error.message() + advice);
}

}  // namespace cltrain
