#include "data/npy.h"

#include "data/dataset.h"
#include "data/files.h"

#include <cctype>
#include <cstring>
#include <map>
#include <regex>

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

std::vector<int64_t> parse_shape(const fs::path& path, const std::string& text) {
  std::vector<int64_t> shape;
  for (size_t at = 0; at < text.size();) {
    if (!std::isdigit(static_cast<unsigned char>(text[at]))) {
      ++at;
      continue;
    }
    int64_t extent = 0;
    for (; at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])); ++at) {
      extent = extent * 10 + (text[at] - '0');
      if (extent > static_cast<int64_t>(kLimit)) refuse(path, "shape (" + text + ")");
    }
    shape.push_back(extent);
  }
  return shape;
}

}  // namespace

NpyArray read_npy(const fs::path& path) {
  const std::vector<uint8_t> file = read_file(path, kLimit);
  const Header header = find_header(path, file);
  static const std::regex pattern(
      R"(\{'descr': '([^']*)', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\),? *\} *\n)");
  std::smatch match;
  if (!std::regex_match(header.text, match, pattern)) refuse(path, "a header that cannot be read");
  if (match[2] == "True") refuse(path, "Fortran order (use numpy.ascontiguousarray)");
  NpyArray array{match[1], parse_shape(path, match[3]), {}};
  const size_t item = element_size(array.type);
  if (item == 0)
    refuse(path, "element type '" + array.type + "' (allowed: <i8, <i4, <f4, <f8, |u1)");
  uint64_t expected = item;
  for (const int64_t extent : array.shape) {
    expected *= static_cast<uint64_t>(extent);
    if (expected > kLimit) refuse(path, "shape (" + match[3].str() + ")");
  }
  if (file.size() - header.data_begin != expected)
    refuse(path, std::to_string(file.size() - header.data_begin) + " bytes of data where shape (" +
                     match[3].str() + ") of " + array.type + " needs " + std::to_string(expected));
  array.bytes.assign(file.begin() + header.data_begin, file.end());
  return array;
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
