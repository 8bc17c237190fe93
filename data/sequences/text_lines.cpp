#include "data/sequences/text_lines.h"

#include "data/dataset.h"
#include "data/files.h"

#include <algorithm>
#include <cstdio>

namespace cltrain {
namespace {

constexpr uint64_t kLargestFile = uint64_t{1} << 36;
constexpr std::string_view kBlanks = " \t";

}  // namespace

TextLines::TextLines(const std::filesystem::path& path)
    : path_(path), bytes_(read_file(path, kLargestFile)) {}

bool TextLines::next(std::string_view& line) {
  const std::string_view text(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
  while (at_ < text.size()) {
    const size_t end = std::min(text.find('\n', at_), text.size());
    line = text.substr(at_, end - at_);
    at_ = end + 1;
    ++number_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(kBlanks) != std::string_view::npos) return true;
  }
  return false;
}

void TextLines::refuse(int64_t line, const std::string& what) const {
  throw DataError(path_.string() + ":" + std::to_string(line) + ": " + what);
}

std::optional<std::string_view> take_field(std::string_view& line) {
  const size_t start = line.find_first_not_of(kBlanks);
  if (start == std::string_view::npos) return std::nullopt;
  const size_t end = std::min(line.find_first_of(kBlanks, start), line.size());
  const std::string_view field = line.substr(start, end - start);
  line.remove_prefix(end);
  return field;
}

std::string quoted(std::string_view field) {
  constexpr size_t kLongest = 60;
  std::string result = "'";
  for (const char letter : field.substr(0, kLongest)) {
    if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(letter));
      result += escaped;
    } else {
      result += letter;
    }
  }
  return result + (field.size() > kLongest ? "...'" : "'");
}

}  // namespace cltrain
