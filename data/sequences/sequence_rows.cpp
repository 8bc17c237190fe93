#include "data/sequences/sequence_rows.h"

#include "data/sequences/leave_one_out.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace cltrain {

SequenceSet::SequenceSet(std::shared_ptr<const Interactions> interactions)
    : interactions_(std::move(interactions)), users_(trained_users(*interactions_)) {
  if (users_.empty())
    throw DataError(interactions_->description + ": none of " +
                    std::to_string(interactions_->users()) + " users has " +
                    std::to_string(kLeastToTrain) +
                    " items or more, and others cannot be trained "
                    "on: take another file, or lower the limits of the k-core");
}

int64_t SequenceSet::source_id(int64_t position) const {
  return users_.at(static_cast<size_t>(position));
}

std::string SequenceSet::describe() const {
  return interactions_->description + ": " + statistics_line(*interactions_);
}

std::span<const int32_t> SequenceSet::history(int64_t position) const {
  return interactions_->history(source_id(position));
}

namespace {

std::vector<RowField> fields_of(const SequenceSet& set, int64_t window) {
  if (window < 1)
    throw std::invalid_argument("a window of " + std::to_string(window) +
                                " items; allowed: 1 or more");
  int64_t longest = window;
  for (int64_t position = 0; position < set.size(); ++position)
    longest = std::max(longest, static_cast<int64_t>(training_input(set.history(position)).size()));
  return {{"items", {window}, true},
          {"targets", {window}, true},
          {"negatives", {window}, true},
          {"history", {longest}, true}};
}

}  // namespace

SequenceRows::SequenceRows(const SequenceSet& set, int64_t window)
    : RowMaker(fields_of(set, window)), set_(set), window_(window) {
  const int64_t items = set.interactions().items();
  for (int64_t position = 0; position < set.size(); ++position) {
    const auto history = set.history(position);
    const auto start = static_cast<int64_t>(known_.size());
    known_.insert(known_.end(), history.begin(), history.end());
    std::sort(known_.begin() + start, known_.end());
    known_.erase(std::unique(known_.begin() + start, known_.end()), known_.end());
    known_offsets_.push_back(static_cast<int64_t>(known_.size()));
    if (static_cast<int64_t>(known_.size()) - start == items) {
      const auto user = static_cast<size_t>(set.source_id(position));
      throw DataError(set.interactions().description + ": user " +
                      set.interactions().user_names.at(user) + " has interactions with all " +
                      std::to_string(items) + " items, so no negative can be drawn for him: " +
                      "remove the user, or take a set of more items");
    }
  }
}

/// The r-th (from 0) of the ids from 1 that the user does not know, r uniform: the distribution of
/// drawing until an unknown id comes, in one draw.
int32_t SequenceRows::negative(int64_t position, KeyedStream& stream) const {
  const auto at = static_cast<size_t>(position);
  const std::span<const int32_t> known =
      std::span(known_).subspan(static_cast<size_t>(known_offsets_[at]),
                                static_cast<size_t>(known_offsets_[at + 1] - known_offsets_[at]));
  const int64_t candidates = int64_t{set_.interactions().items()} + 1;
  const auto unknown = static_cast<uint64_t>(candidates - static_cast<int64_t>(known.size()));
  const auto rank = static_cast<int64_t>(stream.below(unknown));
  // Before known[k] lie known[k] - 1 - k unknown ids, a number that does not fall with k.
  size_t low = 0, high = known.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (known[middle] - 1 - static_cast<int64_t>(middle) <= rank)
      low = middle + 1;
    else
      high = middle;
  }
  return static_cast<int32_t>(rank + 1 + static_cast<int64_t>(low));
}

void SequenceRows::make(int64_t position, PhiloxKey key, std::span<std::byte* const> outs) const {
  if (outs.size() != fields().size())
    throw std::invalid_argument(std::to_string(outs.size()) + " outputs for the " +
                                std::to_string(fields().size()) + " fields of a row");
  const auto row = [&](size_t field) { return reinterpret_cast<int64_t*>(outs[field]); };
  const auto history = set_.history(position);
  const auto input = training_input(history);
  write_window(input, window_, row(0));
  write_window(training_targets(history), window_, row(1));
  KeyedStream stream(key, static_cast<uint64_t>(set_.source_id(position)), kNegativeView, 0);
  for (int64_t slot = 0; slot < window_; ++slot)
    row(2)[slot] = row(1)[slot] == 0 ? 0 : negative(position, stream);
  write_window(input, fields()[3].extents[0], row(3));
}

}  // namespace cltrain
