#include "data/sequences/atomic_inter.h"

#include "data/dataset.h"
#include "data/sequences/text_lines.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cltrain {
namespace {

constexpr char kTab = '\t';
constexpr const char* kNeeded =
    "needed: user_id and item_id; used if there: rating and timestamp (user_id:token, "
    "item_id:token, rating:float, timestamp:float, separated by tabs)";

/// Places of the columns in a line.
struct Columns {
  size_t count = 0, user = 0, item = 0;
  std::optional<size_t> rating, time;
};

struct Row {
  int32_t user, item;
  float rating;
  double time;
};

void split(std::string_view line, std::vector<std::string_view>& fields) {
  fields.clear();
  for (size_t start = 0; start <= line.size();) {
    const size_t end = std::min(line.find(kTab, start), line.size());
    fields.push_back(line.substr(start, end - start));
    start = end + 1;
  }
}

Columns read_header(std::string_view line, const TextLines& lines) {
  std::vector<std::string_view> fields;
  split(line, fields);
  Columns columns{.count = fields.size()};
  const auto find = [&](std::string_view name) {
    std::optional<size_t> place;
    for (size_t at = 0; at < fields.size(); ++at) {
      if (fields[at].substr(0, fields[at].find(':')) != name) continue;
      if (place) lines.refuse("two columns " + std::string(name) + "; expected one: remove one");
      place = at;
    }
    return place;
  };
  const auto needed = [&](std::string_view name) {
    const auto place = find(name);
    if (!place)
      lines.refuse("no column " + std::string(name) + "; the header has " + quoted(line) + ", " +
                   kNeeded + ": name the columns so in the first line");
    return *place;
  };
  columns.user = needed("user_id");
  columns.item = needed("item_id");
  columns.rating = find("rating");
  columns.time = find("timestamp");
  return columns;
}

double finite_number(std::string_view field, const char* column, const TextLines& lines) {
  double value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (error != std::errc() || end != field.data() + field.size() || !std::isfinite(value))
    lines.refuse(std::string(column) + " " + quoted(field) +
                 " is no finite number; correct the line, or give the column another name to " +
                 "have it passed over");
  return value;
}

/// Numbers names in the order in which they first come. Names are views of the file.
class Numbers {
 public:
  Numbers(const char* what, const TextLines& lines) : what_(what), lines_(lines) {}

  int32_t of(std::string_view name) {
    if (name.empty())
      lines_.refuse(std::string(what_) + " is empty; expected a name: correct or remove the line");
    const auto [found, is_new] = numbers_.emplace(name, static_cast<int32_t>(names_.size()));
    if (is_new) names_.emplace_back(name);
    if (names_.size() >= static_cast<size_t>(std::numeric_limits<int32_t>::max() - 1))
      lines_.refuse(std::string("more than 2^31 different names in ") + what_);
    return found->second;
  }
  std::vector<std::string>& names() { return names_; }

 private:
  const char* what_;
  const TextLines& lines_;
  std::unordered_map<std::string_view, int32_t> numbers_;
  std::vector<std::string> names_;
};

/// Rows user by user, each in the order of the file, or of time where `by_time`.
void order_rows(std::vector<Row>& rows, bool by_time) {
  std::ranges::stable_sort(rows, [by_time](const Row& one, const Row& other) {
    if (one.user != other.user) return one.user < other.user;
    return by_time && one.time < other.time;
  });
}

Interactions lists_of(const std::vector<Row>& rows, size_t users, bool rated) {
  Interactions result;
  result.offsets.assign(users + 1, 0);
  result.item_ids.reserve(rows.size());
  for (const Row& row : rows) {
    ++result.offsets[static_cast<size_t>(row.user) + 1];
    result.item_ids.push_back(row.item);
    if (rated) result.ratings.push_back(row.rating);
  }
  for (size_t user = 0; user < users; ++user) result.offsets[user + 1] += result.offsets[user];
  return result;
}

std::string short_number(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return std::string(text, end);
}

}  // namespace

Interactions read_atomic_inter(const std::filesystem::path& path,
                               const AtomicInterOptions& options) {
  TextLines lines(path);
  std::string_view line;
  if (!lines.next(line))
    lines.refuse(1, std::string("an empty file; expected a header, ") + kNeeded +
                        ": fetch it again, or set data.root and data.name");
  const Columns columns = read_header(line, lines);
  if (options.least_rating && !columns.rating)
    lines.refuse("interactions are to be kept from rating " + short_number(*options.least_rating) +
                 ", and there is no column rating in " + quoted(line) +
                 ": leave the limit out, or add the column");
  Numbers users("user_id", lines), items("item_id", lines);
  items.names().emplace_back();  // id 0 is padding
  std::vector<Row> rows;
  std::vector<std::string_view> fields;
  while (lines.next(line)) {
    split(line, fields);
    if (fields.size() != columns.count)
      lines.refuse(std::to_string(fields.size()) + " fields, expected " +
                   std::to_string(columns.count) +
                   " as in the header, separated by tabs: " + "correct the line");
    Row row{};
    if (columns.rating) {
      const double rating = finite_number(fields[*columns.rating], "rating", lines);
      if (options.least_rating && rating < *options.least_rating) continue;
      row.rating = static_cast<float>(rating);
    }
    if (columns.time) row.time = finite_number(fields[*columns.time], "timestamp", lines);
    row.user = users.of(fields[columns.user]);
    row.item = items.of(fields[columns.item]);
    rows.push_back(row);
  }
  if (rows.empty())
    lines.refuse(
        "no interactions" +
        (options.least_rating
             ? " with a rating from " + short_number(*options.least_rating) + ": lower the limit"
             : std::string(" after the header: fetch the file again")));
  order_rows(rows, columns.time.has_value());
  Interactions result = lists_of(rows, users.names().size(), columns.rating.has_value());
  result.user_names = std::move(users.names());
  result.item_names = std::move(items.names());
  result.item_count = static_cast<int32_t>(result.item_names.size()) - 1;
  result.description = path.string();
  if (options.least_rating)
    result.description += ", ratings from " + short_number(*options.least_rating);
  return result;
}

}  // namespace cltrain
