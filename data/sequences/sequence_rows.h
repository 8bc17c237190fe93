// Training on sequences: the set of users that are trained on, and the rows of integers that the
// loader makes of each for one epoch.
//
// A row of user u, with n items in his training input x (leave_one_out.h) and a window of L:
//   items      [L]  the last L of x, 0 to the left
//   targets    [L]  what comes after each of them, 0 to the left
//   negatives  [L]  for each target an item the user has no interaction with, 0 to the left
//   history    [H]  all of x, 0 to the left; H is the longest training input, and at least L:
//                   augmentation draws from the whole list, not from the window
//
// A negative is uniform over 1 .. items() + 1 without the user's full list, his validation and test
// items included: the reserved id may be drawn, as SRMA and CoSeRec draw it. One draw a target from
// the stream (key, user, kNegativeView, 0), in the order of the row. So the row depends on seed,
// epoch and user alone.
//
// Every rank opens the whole set; all const functions may be called from any number of threads.
#pragma once

#include "data/dataset.h"
#include "data/row_maker.h"
#include "data/sequences/interactions.h"
#include "ops/keyed_random.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace cltrain {

/// Views of a sample count from 0; this one, the last, is that of the negatives' draws.
inline constexpr uint32_t kNegativeView = 15;

/// The users of at least kLeastToTrain items, in the order of the file. No labels. source_id is the
/// user's number in the interactions.
class SequenceSet : public SampleSet {
 public:
  /// Throws DataError if there is no such user.
  explicit SequenceSet(std::shared_ptr<const Interactions> interactions);

  int64_t size() const override { return static_cast<int64_t>(users_.size()); }
  int64_t label(int64_t) const override { return -1; }
  int64_t classes() const override { return 0; }
  int64_t source_id(int64_t position) const override;
  std::string describe() const override;

  const Interactions& interactions() const { return *interactions_; }
  /// All items of the user at a position.
  std::span<const int32_t> history(int64_t position) const;

 private:
  std::shared_ptr<const Interactions> interactions_;
  std::vector<int64_t> users_;
};

class SequenceRows : public RowMaker {
 public:
  /// The set must outlive this. Throws std::invalid_argument on a window below 1, and DataError if
  /// a user has interactions with all items, so that only the reserved id would be left to draw.
  SequenceRows(const SequenceSet& set, int64_t window);

  /// The fields are "items", "targets", "negatives", "history", all integers.
  void make(int64_t position, PhiloxKey key, std::span<std::byte* const> outs) const override;

 private:
  int32_t negative(int64_t position, KeyedStream& stream) const;

  const SequenceSet& set_;
  const int64_t window_;
  std::vector<int64_t> known_offsets_{0};  // [size() + 1]
  std::vector<int32_t> known_;             // each user's different items, ascending
};

}  // namespace cltrain
