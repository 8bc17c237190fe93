#include "data/files.h"

#include "data/dataset.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <span>
#include <system_error>

#include <zlib.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

/// Throws what the caller makes of (kind of BadSample, message, error number or 0).
using Fail = void (*)(const char* kind, const std::string& what, int error);

void fail_whole_set(const char*, const std::string& what, int) {
  throw DataError(what);
}

void fail_sample(const char* kind, const std::string& what, int error) {
  if (error == EMFILE || error == ENFILE || error == ENOMEM)
    throw DataError(what + "; raise the limits of the process (ulimit -n)");
  throw BadSample(kind, what);
}

void require_regular_file(const fs::path& path, Fail fail = fail_whole_set) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found)
    fail("unreadable", path.string() + ": no such file", 0);
  if (error)
    fail("unreadable", path.string() + ": cannot be read: " + error.message(), error.value());
  if (status.type() != fs::file_type::regular)
    fail("unreadable", path.string() + ": is not a regular file", 0);
}

std::vector<uint8_t> read_bytes(const fs::path& path, uint64_t limit, Fail fail) {
  require_regular_file(path, fail);
  errno = 0;
  std::ifstream stream(path, std::ios::binary | std::ios::ate);
  if (!stream)
    fail("unreadable", path.string() + ": cannot be opened for reading: " + std::strerror(errno),
         errno);
  const auto size = static_cast<uint64_t>(std::max<std::streamoff>(stream.tellg(), 0));
  if (size > limit)
    fail("too_large",
         path.string() + ": " + std::to_string(size) + " bytes, at most " + std::to_string(limit) +
             " are allowed",
         0);
  std::vector<uint8_t> bytes(size);
  stream.seekg(0);
  stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
  if (static_cast<uint64_t>(stream.gcount()) != size)
    fail("unreadable",
         path.string() + ": only " + std::to_string(stream.gcount()) + " of " +
             std::to_string(size) + " bytes could be read",
         0);
  return bytes;
}

bool has_ending(std::string_view name, std::span<const std::string_view> endings) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || name.find('/', dot) != std::string_view::npos) return false;
  std::string ending(name.substr(dot));
  for (char& letter : ending)
    if (letter >= 'A' && letter <= 'Z') letter += 'a' - 'A';
  return std::find(endings.begin(), endings.end(), ending) != endings.end();
}

}  // namespace

std::vector<uint8_t> read_file(const fs::path& path, uint64_t limit) {
  return read_bytes(path, limit, fail_whole_set);
}

std::vector<uint8_t> read_sample(const fs::path& path, uint64_t limit) {
  std::vector<uint8_t> bytes = read_bytes(path, limit, fail_sample);
  if (bytes.empty()) throw BadSample("damaged", path.string() + ": an empty file");
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

bool has_image_ending(std::string_view name) {
  constexpr std::string_view kEndings[] = {".jpg", ".jpeg", ".png"};
  return has_ending(name, kEndings);
}

bool has_video_ending(std::string_view name) {
  constexpr std::string_view kEndings[] = {
      ".3g2", ".3gp", ".asf",  ".avi", ".f4v", ".flv", ".m2ts", ".m4v", ".mkv",  ".mov", ".mp4",
      ".mpg", ".mts", ".mpeg", ".mxf", ".nut", ".ogv", ".ts",   ".vob", ".webm", ".wmv", ".y4m"};
  return has_ending(name, kEndings);
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

PartFolders part_folders(const std::string& root, const std::string& train, const std::string& val,
                         const std::string& expected) {
  if (root.empty() && train.empty())
    throw DataError("data.root is empty; expected a folder of " + expected +
                    " (train/ and val/ below it, if present): set data.root=FOLDER, or "
                    "data.train=FOLDER and data.val=FOLDER");
  // A root that is mistyped must not be hidden by a data.train or data.val that is not.
  if (!root.empty()) require_folder(root, "data.root", expected + ", or train/ and val/");
  const fs::path base = root;
  std::error_code error;
  const auto below_root = [&](const char* name) {
    return !root.empty() && fs::is_directory(base / name, error);
  };
  if (train.empty() && below_root("val") && !below_root("train"))
    throw DataError(root + ": holds val/ but no train/; put the training " + expected +
                    " into train/, or set data.train=FOLDER");
  return {.train = !train.empty()        ? fs::path(train)
                   : below_root("train") ? base / "train"
                                         : base,
          .val = !val.empty()        ? fs::path(val)
                 : below_root("val") ? base / "val"
                                     : fs::path(),
          .train_option = train.empty() ? "data.root" : "data.train",
          .val_option = val.empty() ? "data.root" : "data.val"};
}

}  // namespace cltrain
