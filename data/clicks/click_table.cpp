#include "data/clicks/click_table.h"

#include "data/clicks/id_hash.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <utility>

namespace cltrain {

ClickColumns::ClickColumns(const std::vector<std::string>& ids,
                           const std::vector<std::string>& sequences, int64_t max_length)
    : max_length(max_length) {
  if (max_length < 1)
    throw std::invalid_argument("lists of " + std::to_string(max_length) +
                                " ids; allowed: 1 or more");
  const auto append = [&](const std::string& name, bool sequence) {
    if (find(name) != nullptr) throw std::invalid_argument("two columns named " + name);
    all.push_back({name, sequence, width(), sequence ? max_length : 1});
  };
  for (const std::string& name : ids) append(name, false);
  for (const std::string& name : sequences) append(name, true);
}

const ClickColumn* ClickColumns::find(std::string_view name) const {
  const auto found =
      std::ranges::find_if(all, [&](const ClickColumn& column) { return column.name == name; });
  return found == all.end() ? nullptr : &*found;
}

void ClickTable::add(std::span<const std::string> cells, bool click) {
  if (cells.size() != columns_.all.size())
    throw std::invalid_argument(std::to_string(cells.size()) + " cells for " +
                                std::to_string(columns_.all.size()) + " columns");
  for (size_t i = 0; i < cells.size(); ++i) {
    if (!columns_.all[i].sequence) {
      ids_.push_back(id_hash(cells[i]));
      continue;
    }
    const auto begin = static_cast<int64_t>(pool_.size());
    for (std::string_view left = cells[i]; !left.empty();) {
      const size_t end = left.find('|');
      pool_.push_back(id_hash(left.substr(0, end)));
      left = end == std::string_view::npos ? std::string_view() : left.substr(end + 1);
    }
    lists_.push_back({begin, static_cast<int64_t>(pool_.size())});
  }
  clicks_.push_back(click);
}

int64_t ClickTable::add_ids(std::span<const int64_t> hashes) {
  const auto begin = static_cast<int64_t>(pool_.size());
  pool_.insert(pool_.end(), hashes.begin(), hashes.end());
  return begin;
}

void ClickTable::add(std::span<const int64_t> ids, std::span<const Range> lists, bool click) {
  if (ids.size() + lists.size() != columns_.all.size())
    throw std::invalid_argument(std::to_string(ids.size()) + " ids and " +
                                std::to_string(lists.size()) + " lists for " +
                                std::to_string(columns_.all.size()) + " columns");
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  lists_.insert(lists_.end(), lists.begin(), lists.end());
  clicks_.push_back(click);
}

void ClickTable::write(int64_t row, int64_t* out) const {
  const auto sequences = static_cast<int64_t>(std::ranges::count_if(
      columns_.all, [](const ClickColumn& column) { return column.sequence; }));
  int64_t id = row * (static_cast<int64_t>(columns_.all.size()) - sequences);
  int64_t list = row * sequences;
  for (const ClickColumn& column : columns_.all) {
    if (!column.sequence) {
      out[column.begin] = ids_[static_cast<size_t>(id++)];
      continue;
    }
    const Range whole = lists_[static_cast<size_t>(list++)];
    const int64_t begin = std::max(whole.begin, whole.end - column.width);
    const auto end =
        std::copy(pool_.begin() + begin, pool_.begin() + whole.end, out + column.begin);
    std::fill(end, out + column.begin + column.width, int64_t{0});
  }
}

ClickSet::ClickSet(std::shared_ptr<const ClickTable> table, std::vector<int64_t> rows,
                   const std::string& description)
    : table_(std::move(table)), rows_(std::move(rows)) {
  const auto clicks = std::ranges::count_if(rows_, [&](int64_t row) { return table_->click(row); });
  if (clicks == 0 || clicks == size())
    throw DataError(description + ": " + std::to_string(clicks) + " of " + std::to_string(size()) +
                    " rows are clicks, and a model learns from both kinds only: take more rows, or "
                    "another data.click_rating");
  char share[48];
  std::snprintf(share, sizeof share, "%.1f %% clicks",
                100.0 * static_cast<double>(clicks) / static_cast<double>(size()));
  description_ = description + ", " + std::to_string(size()) + " rows, " + share;
}

ClickRows::ClickRows(const ClickSet& set)
    : RowMaker({{"features", {set.columns().width()}, true}, {"click", {}}}), set_(set) {}

void ClickRows::make(int64_t position, PhiloxKey, std::span<std::byte* const> outs) const {
  if (outs.size() != fields().size())
    throw std::invalid_argument(std::to_string(outs.size()) + " outputs for the " +
                                std::to_string(fields().size()) + " fields of a row");
  const int64_t row = set_.source_id(position);
  set_.table().write(row, reinterpret_cast<int64_t*>(outs[0]));
  *reinterpret_cast<float*>(outs[1]) = set_.table().click(row) ? 1.0f : 0.0f;
}

}  // namespace cltrain
