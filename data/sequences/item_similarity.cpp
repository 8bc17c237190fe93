#include "data/sequences/item_similarity.h"

#include "data/sequences/leave_one_out.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <stdexcept>
#include <string>

namespace cltrain {
namespace {

constexpr uint32_t kNeighbourView = 14;
constexpr size_t kWindow = 5;

/// Rows of ids of different lengths.
struct Ragged {
  std::vector<size_t> offsets{0};
  std::vector<int32_t> ids;

  size_t rows() const { return offsets.size() - 1; }
  std::span<const int32_t> row(size_t at) const {
    return std::span(ids).subspan(offsets[at], offsets[at + 1] - offsets[at]);
  }
  void end_row() { offsets.push_back(ids.size()); }
};

/// The different items of each user's training input, ascending.
Ragged different_items(const Interactions& interactions) {
  Ragged result;
  for (int64_t user = 0; user < interactions.users(); ++user) {
    const auto input = training_input(interactions.history(user));
    const auto start = static_cast<int64_t>(result.ids.size());
    result.ids.insert(result.ids.end(), input.begin(), input.end());
    std::sort(result.ids.begin() + start, result.ids.end());
    result.ids.erase(std::unique(result.ids.begin() + start, result.ids.end()), result.ids.end());
    result.end_row();
  }
  return result;
}

/// For every id below `columns` the rows that hold it, ascending.
Ragged transposed(const Ragged& lists, size_t columns) {
  Ragged result;
  result.offsets.assign(columns + 1, 0);
  for (const int32_t id : lists.ids) ++result.offsets[static_cast<size_t>(id) + 1];
  for (size_t id = 0; id < columns; ++id) result.offsets[id + 1] += result.offsets[id];
  result.ids.resize(lists.ids.size());
  std::vector<size_t> next(result.offsets.begin(), result.offsets.end() - 1);
  for (size_t row = 0; row < lists.rows(); ++row)
    for (const int32_t id : lists.row(row))
      result.ids[next[static_cast<size_t>(id)]++] = static_cast<int32_t>(row);
  return result;
}

/// Sums of one item with the others, of which few are not zero.
class SparseSums {
 public:
  explicit SparseSums(size_t size) : sums_(size), is_there_(size) {}

  void add(int32_t id, double value) {
    const auto at = static_cast<size_t>(id);
    if (!is_there_[at]) {
      is_there_[at] = 1;
      ids_.push_back(id);
    }
    sums_[at] += value;
  }
  /// Calls use(id, sum) for the ids that were added, in the order of their first sums, and forgets
  /// them.
  template <typename Use>
  void drain(const Use& use) {
    for (const int32_t id : ids_) {
      const auto at = static_cast<size_t>(id);
      use(id, sums_[at]);
      sums_[at] = 0;
      is_there_[at] = 0;
    }
    ids_.clear();
  }
  void sort() { std::ranges::sort(ids_); }

 private:
  std::vector<double> sums_;
  std::vector<uint8_t> is_there_;
  std::vector<int32_t> ids_;
};

Neighbours random_neighbours(int32_t items, PhiloxKey key) {
  const size_t rows = static_cast<size_t>(items) + 2;
  Neighbours result{std::vector<int32_t>(rows), std::vector<float>(rows)};
  for (size_t id = 0; id < rows; ++id) {
    const bool is_item = id >= 1 && id <= static_cast<size_t>(items) && items > 1;
    KeyedStream stream(key, id, kNeighbourView, 0);
    auto drawn = 1 + static_cast<int32_t>(stream.below(static_cast<uint64_t>(items - is_item)));
    if (is_item && drawn >= static_cast<int32_t>(id)) ++drawn;
    result.best[id] = drawn;
  }
  return result;
}

/// Makes the item with the largest score above 0 among those summed up the neighbour of `id`, and
/// widens the range of scores.
template <typename Score>
void take_best(SparseSums& sums, size_t id, const Score& score, Neighbours& result) {
  double largest = 0;
  int32_t best = 0;
  sums.drain([&](int32_t other, double sum) {
    const double value = score(static_cast<size_t>(other), sum);
    const bool first = result.largest == 0;  // a pair's score is above 0
    result.least =
        first ? static_cast<float>(value) : std::min(result.least, static_cast<float>(value));
    result.largest = std::max(result.largest, static_cast<float>(value));
    if (value < largest || (value == largest && other > best)) return;
    largest = value;
    best = other;
  });
  if (best == 0) return;
  result.best[id] = best;
  result.score[id] = static_cast<float>(largest);
}

void find_by_users(const Interactions& interactions, bool weighted, Neighbours& result) {
  const Ragged lists = different_items(interactions);
  const Ragged users = transposed(lists, result.best.size());
  SparseSums sums(result.best.size());
  for (size_t id = 1; id + 1 < result.best.size(); ++id) {
    const auto own = users.row(id);
    for (const int32_t user : own) {
      const auto items = lists.row(static_cast<size_t>(user));
      const double weight = weighted ? 1 / std::log(1 + static_cast<double>(items.size())) : 1;
      for (const int32_t other : items)
        if (static_cast<size_t>(other) != id) sums.add(other, weight);
    }
    take_best(
        sums, id,
        [&](size_t other, double sum) {
          return sum / std::sqrt(static_cast<double>(own.size()) *
                                 static_cast<double>(users.row(other).size()));
        },
        result);
  }
}

/// A symmetric sparse matrix, row after row, columns ascending.
struct SparseMatrix {
  Ragged columns;
  std::vector<double> values;
};

/// How often two different items are at most kWindow places apart.
SparseMatrix windowed_pairs(const Interactions& interactions, size_t rows) {
  Ragged inputs;
  for (int64_t user = 0; user < interactions.users(); ++user) {
    const auto input = training_input(interactions.history(user));
    inputs.ids.insert(inputs.ids.end(), input.begin(), input.end());
    inputs.end_row();
  }
  // Places of every item: transposing lists of one item each, so that a row is a place.
  Ragged places;
  places.ids = inputs.ids;
  for (size_t place = 0; place < inputs.ids.size(); ++place) places.offsets.push_back(place + 1);
  places = transposed(places, rows);
  std::vector<size_t> start(inputs.ids.size()), end(inputs.ids.size());
  for (size_t user = 0; user < inputs.rows(); ++user)
    for (size_t place = inputs.offsets[user]; place < inputs.offsets[user + 1]; ++place) {
      start[place] = std::max(inputs.offsets[user], place - std::min(place, kWindow));
      end[place] = std::min(inputs.offsets[user + 1], place + kWindow + 1);
    }
  SparseMatrix result;
  SparseSums sums(rows);
  for (size_t id = 0; id < rows; ++id) {
    for (const int32_t at : places.row(id)) {
      const auto place = static_cast<size_t>(at);
      for (size_t near = start[place]; near < end[place]; ++near)
        if (static_cast<size_t>(inputs.ids[near]) != id) sums.add(inputs.ids[near], 1);
    }
    sums.sort();
    sums.drain([&](int32_t other, double sum) {
      result.columns.ids.push_back(other);
      result.values.push_back(sum);
    });
    result.columns.end_row();
  }
  return result;
}

/// Turns counts into positive pointwise mutual information, in place; entries may become 0.
void make_information(SparseMatrix& counts) {
  const size_t rows = counts.columns.rows();
  std::vector<double> row_sum(rows);
  double total = 0;
  for (size_t row = 0; row < rows; ++row)
    for (size_t at = counts.columns.offsets[row]; at < counts.columns.offsets[row + 1]; ++at) {
      row_sum[row] += counts.values[at];
      total += counts.values[at];
    }
  for (size_t row = 0; row < rows; ++row)
    for (size_t at = counts.columns.offsets[row]; at < counts.columns.offsets[row + 1]; ++at) {
      const double expected = row_sum[row] * row_sum[static_cast<size_t>(counts.columns.ids[at])];
      counts.values[at] = std::max(0.0, std::log(counts.values[at] * total / expected));
    }
}

void find_by_windows(const Interactions& interactions, Neighbours& result) {
  const size_t rows = result.best.size();
  SparseMatrix matrix = windowed_pairs(interactions, rows);
  make_information(matrix);
  const std::vector<size_t>& offsets = matrix.columns.offsets;
  std::vector<double> norm(rows);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t at = offsets[row]; at < offsets[row + 1]; ++at)
      norm[row] += matrix.values[at] * matrix.values[at];
    norm[row] = std::sqrt(norm[row]);
  }
  SparseSums sums(rows);
  for (size_t id = 1; id + 1 < rows; ++id) {
    for (size_t at = offsets[id]; at < offsets[id + 1]; ++at) {
      if (matrix.values[at] == 0) continue;
      // The matrix is symmetric: its row is the column of this neighbour.
      const auto shared = static_cast<size_t>(matrix.columns.ids[at]);
      for (size_t other = offsets[shared]; other < offsets[shared + 1]; ++other)
        if (static_cast<size_t>(matrix.columns.ids[other]) != id && matrix.values[other] > 0)
          sums.add(matrix.columns.ids[other], matrix.values[at] * matrix.values[other]);
    }
    take_best(
        sums, id, [&](size_t other, double sum) { return sum / (norm[id] * norm[other]); }, result);
  }
}

/// The scores of ids 1 .. items() with the smallest of all pairs' at 0 and the largest at 1.
std::vector<float> mapped(const Neighbours& neighbours) {
  const float span = neighbours.largest - neighbours.least;
  std::vector<float> result(neighbours.score.size());
  for (size_t id = 1; id + 1 < result.size() && span > 0; ++id)
    result[id] = (neighbours.score[id] - neighbours.least) / span;
  return result;
}

}  // namespace

ItemSimilarity item_similarity(std::string_view name) {
  if (name == "itemcf") return ItemSimilarity::kItemCf;
  if (name == "itemcf_iuf") return ItemSimilarity::kItemCfIuf;
  if (name == "item2vec") return ItemSimilarity::kItem2Vec;
  if (name == "random") return ItemSimilarity::kRandom;
  throw std::invalid_argument("item similarity '" + std::string(name) +
                              "'; allowed: itemcf, itemcf_iuf, item2vec, random");
}

Neighbours most_similar(const Interactions& interactions, ItemSimilarity similarity,
                        PhiloxKey key) {
  if (interactions.items() < 1)
    throw std::invalid_argument("item similarity of a set without items");
  Neighbours result = random_neighbours(interactions.items(), key);
  switch (similarity) {
    case ItemSimilarity::kItemCf:
      find_by_users(interactions, false, result);
      break;
    case ItemSimilarity::kItemCfIuf:
      find_by_users(interactions, true, result);
      break;
    case ItemSimilarity::kItem2Vec:
      find_by_windows(interactions, result);
      break;
    case ItemSimilarity::kRandom:
      break;
  }
  return result;
}

Neighbours hybrid(const Neighbours& one, const Neighbours& other) {
  const size_t rows = one.best.size();
  if (rows < 3 || one.score.size() != rows || other.best.size() != rows ||
      other.score.size() != rows)
    throw std::invalid_argument("hybrid of the neighbours of " + std::to_string(rows) + " and " +
                                std::to_string(other.best.size()) +
                                " ids; both must be of the same items, one at least");
  Neighbours result{one.best, mapped(one), 0, 1};
  const std::vector<float> scores = mapped(other);
  for (size_t id = 1; id + 1 < rows; ++id) {
    if (scores[id] <= result.score[id]) continue;
    result.best[id] = other.best[id];
    result.score[id] = scores[id];
  }
  return result;
}

}  // namespace cltrain
