#include "data/sequences/sequence_text.h"

#include "data/dataset.h"
#include "data/sequences/text_lines.h"

#include <charconv>
#include <limits>
#include <unordered_map>

namespace cltrain {
namespace {

// One id above the largest is reserved, and must be an int32 as well.
constexpr int64_t kLargestId = std::numeric_limits<int32_t>::max() - 1;
// Ids up to the first are taken as they are; above it the largest may be so many times the number
// of interactions.
constexpr int32_t kSurelyNumbered = 1'000'000, kSparseIds = 100;

int32_t positive_id(std::string_view field, const char* what, const TextLines& lines) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (error == std::errc::result_out_of_range || (error == std::errc() && value > kLargestId))
    lines.refuse(std::string(what) + " " + quoted(field) + " is too large; allowed: 1 to " +
                 std::to_string(kLargestId) + ": number the ids from 1");
  if (error != std::errc() || end != field.data() + field.size())
    lines.refuse(std::string(what) + " " + quoted(field) +
                 " is no whole number; expected lines of `user item item ...`, ids from 1, "
                 "separated by spaces: correct the line, or number the ids first");
  if (value < 1)
    lines.refuse(std::string(what) + " " + quoted(field) + " is below 1; ids count from 1 (0 is " +
                 "padding): add 1 to all ids, or correct the line");
  return static_cast<int32_t>(value);
}

}  // namespace

Interactions read_sequence_text(const std::filesystem::path& path) {
  TextLines lines(path);
  Interactions result;
  int32_t largest = 0;
  int64_t line_of_largest = 0;
  std::unordered_map<int32_t, int64_t> line_of_user;
  std::string_view line;
  while (lines.next(line)) {
    const std::string_view name = *take_field(line);
    const int32_t user = positive_id(name, "user", lines);
    const auto [first, is_new] = line_of_user.emplace(user, lines.number());
    if (!is_new)
      lines.refuse("user " + std::to_string(user) + " has a line already, line " +
                   std::to_string(first->second) + "; expected one line a user: join the two, " +
                   "oldest item first");
    while (const auto field = take_field(line)) {
      result.item_ids.push_back(positive_id(*field, "item", lines));
      if (result.item_ids.back() <= largest) continue;
      largest = result.item_ids.back();
      line_of_largest = lines.number();
    }
    if (static_cast<int64_t>(result.item_ids.size()) == result.offsets.back())
      lines.refuse("user " + std::to_string(user) +
                   " has no items; expected `user item item ...`: remove the line");
    result.user_names.push_back(std::to_string(user));
    result.offsets.push_back(static_cast<int64_t>(result.item_ids.size()));
  }
  if (result.users() == 0)
    throw DataError(path.string() + ":1: the file has no users; expected lines of " +
                    "`user item item ...`: fetch it again, or set data.root and data.name");
  if (largest > kSurelyNumbered && largest / kSparseIds > result.interactions())
    throw DataError(path.string() + ":" + std::to_string(line_of_largest) + ": item " +
                    std::to_string(largest) + " is far above the number of items (" +
                    std::to_string(result.interactions()) +
                    " interactions in all), and every id up to it would get a row of its own in "
                    "the table of items: number the items from 1, or give them by name in a "
                    ".inter file");
  result.item_count = largest;
  result.description = path.string();
  return result;
}

}  // namespace cltrain
