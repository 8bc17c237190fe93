#include "data/npy.h"

#include "data/dataset.h"
#include "data/files.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <map>
#include <regex>
#include <stdexcept>
#include <system_error>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLimit = uint64_t{1} << 31;
const std::string kMagic = "\x93NUMPY";

[[noreturn]] void refuse(const fs::path& path, const std::string& found) {
  throw DataError(path.string() + ": " + found +
                  "; expected a NumPy .npy file of version 1 or 2, as numpy.save writes it");
}

size_t element_size(const std::string& type) {
  static const std::map<std::string, size_t> sizes = {
      {"<i8", 8}, {"<i4", 4}, {"<f4", 4}, {"<f8", 8}, {"|u1", 1}};
  const auto found = sizes.find(type);
  return found == sizes.end() ? 0 : found->second;
}

/// The text of the header's dictionary and where the data begins.
struct Header {
  std::string text;
  size_t data_begin;
};

Header find_header(const fs::path& path, const std::vector<uint8_t>& file) {
  if (file.size() < 10 || std::memcmp(file.data(), kMagic.data(), kMagic.size()) != 0)
    refuse(path, "does not begin with the magic \\x93NUMPY");
  const int version = file[6];
  if (version != 1 && version != 2)
    refuse(path, "format version " + std::to_string(version) + "." + std::to_string(file[7]));
  const size_t prefix = version == 1 ? 10 : 12;
  if (file.size() < prefix) refuse(path, "truncated in its header");
  size_t length = file[8] | size_t{file[9]} << 8;
  if (version == 2) length |= size_t{file[10]} << 16 | size_t{file[11]} << 24;
  // A real header is about a hundred bytes; a long one would also be a burden to the expression.
  if (length > 4096) refuse(path, "a header of " + std::to_string(length) + " bytes");
  if (file.size() < prefix + length) refuse(path, "truncated in its header");
  return {std::string(file.begin() + prefix, file.begin() + prefix + length), prefix + length};
}

std::vector<int64_t> parse_shape(const fs::path& path, const std::string& text, uint64_t limit) {
  std::vector<int64_t> shape;
  for (size_t at = 0; at < text.size();) {
    if (!std::isdigit(static_cast<unsigned char>(text[at]))) {
      ++at;
      continue;
    }
    int64_t extent = 0;
    for (; at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])); ++at) {
      extent = extent * 10 + (text[at] - '0');
      if (static_cast<uint64_t>(extent) > std::min(limit, uint64_t{1} << 58))
        refuse(path, "shape (" + text + ")");
    }
    shape.push_back(extent);
  }
  return shape;
}

/// What the header says; `front` is the beginning of the file, all of it or more than the header.
struct Layout {
  std::string type, shape_text;
  std::vector<int64_t> shape;
  uint64_t data_begin;
  uint64_t data_bytes;
};

constexpr size_t kLongestHeader = 12 + 4096;

Layout parse_layout(const fs::path& path, const std::vector<uint8_t>& front, uint64_t limit) {
  const Header header = find_header(path, front);
  static const std::regex pattern(
      R"(\{'descr': '([^']*)', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\),? *\} *\n)");
  std::smatch match;
  if (!std::regex_match(header.text, match, pattern)) refuse(path, "a header that cannot be read");
  if (match[2] == "True") refuse(path, "Fortran order (use numpy.ascontiguousarray)");
  Layout layout{match[1], match[3], parse_shape(path, match[3], limit), header.data_begin, 0};
  layout.data_bytes = element_size(layout.type);
  if (layout.data_bytes == 0)
    refuse(path, "element type '" + layout.type + "' (allowed: <i8, <i4, <f4, <f8, |u1)");
  for (const int64_t extent : layout.shape) {
    if (extent > 0 && layout.data_bytes > limit / static_cast<uint64_t>(extent))
      refuse(path, "shape (" + layout.shape_text + ")");
    layout.data_bytes *= static_cast<uint64_t>(extent);
  }
  return layout;
}

void require_size(const fs::path& path, const Layout& layout, uint64_t file_bytes) {
  if (file_bytes - layout.data_begin == layout.data_bytes) return;
  refuse(path, std::to_string(file_bytes - layout.data_begin) + " bytes of data where shape (" +
                   layout.shape_text + ") of " + layout.type + " needs " +
                   std::to_string(layout.data_bytes));
}

/// The header as numpy.save writes it: room for the first extent to grow to 21 digits, then spaces
/// up to a multiple of 64 bytes.
std::string header_of(const std::string& type, const std::vector<int64_t>& shape) {
  std::string extents;
  for (const int64_t extent : shape)
    extents += (extents.empty() ? "" : ", ") + std::to_string(extent);
  if (shape.size() == 1) extents += ",";
  std::string text =
      "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + extents + "), }";
  if (!shape.empty()) text.append(21 - std::to_string(shape[0]).size(), ' ');
  text.append(63 - (kMagic.size() + 4 + text.size()) % 64, ' ');
  text += '\n';
  std::string header = kMagic + std::string("\x01\x00", 2);
  header += static_cast<char>(text.size() & 255);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

}  // namespace

NpyArray read_npy(const fs::path& path) {
  const std::vector<uint8_t> file = read_file(path, kLimit);
  const Layout layout = parse_layout(path, file, kLimit);
  require_size(path, layout, file.size());
  NpyArray array{layout.type, layout.shape, {}};
  array.bytes.assign(file.begin() + static_cast<std::ptrdiff_t>(layout.data_begin), file.end());
  return array;
}

NpyStream::NpyStream(const fs::path& path) : path_(path) {
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  file_.open(path, std::ios::binary);
  if (error || !file_) throw DataError(path.string() + ": no such file, or it cannot be read");
  std::vector<uint8_t> front(std::min<uint64_t>(size, kLongestHeader));
  file_.read(reinterpret_cast<char*>(front.data()), static_cast<std::streamsize>(front.size()));
  const Layout layout = parse_layout(path, front, uint64_t{1} << 62);
  require_size(path, layout, size);
  file_.clear();
  file_.seekg(static_cast<std::streamoff>(layout.data_begin));
  type_ = layout.type;
  shape_ = layout.shape;
}

void NpyStream::read(void* to, uint64_t bytes) {
  file_.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
  if (static_cast<uint64_t>(file_.gcount()) != bytes)
    throw DataError(path_.string() + ": only " + std::to_string(file_.gcount()) + " of " +
                    std::to_string(bytes) + " bytes could be read");
}

NpyWriter::NpyWriter(const fs::path& path, const std::string& type,
                     const std::vector<int64_t>& shape)
    : file_(path), name_(path.string()), missing_(element_size(type)) {
  if (missing_ == 0)
    throw std::invalid_argument(name_ + ": element type '" + type +
                                "'; allowed: <i8, <i4, <f4, <f8, |u1");
  for (const int64_t extent : shape) missing_ *= static_cast<uint64_t>(extent);
  const std::string header = header_of(type, shape);
  file_.write(header.data(), header.size());
}

void NpyWriter::append(const void* data, uint64_t bytes) {
  if (bytes > missing_)
    throw std::logic_error(name_ + ": " + std::to_string(bytes) + " bytes appended where " +
                           std::to_string(missing_) + " were left");
  file_.write(data, bytes);
  missing_ -= bytes;
}

void NpyWriter::commit() {
  if (missing_ > 0)
    throw std::logic_error(name_ + ": " + std::to_string(missing_) + " bytes are missing");
  file_.commit();
}

std::vector<int64_t> read_npy_integers(const fs::path& path) {
  const NpyArray array = read_npy(path);
  if (array.shape.size() != 1 || (array.type != "<i8" && array.type != "<i4"))
    refuse(path, "an array of " + array.type + " with " + std::to_string(array.shape.size()) +
                     " dimensions where a one-dimensional list of int64 or int32 is needed");
  std::vector<int64_t> numbers(static_cast<size_t>(array.shape[0]));
  if (array.type == "<i8") {
    if (!numbers.empty()) std::memcpy(numbers.data(), array.bytes.data(), array.bytes.size());
    return numbers;
  }
  for (size_t at = 0; at < numbers.size(); ++at) {
    int32_t number;
    std::memcpy(&number, array.bytes.data() + 4 * at, 4);
    numbers[at] = number;
  }
  return numbers;
}

}  // namespace cltrain
