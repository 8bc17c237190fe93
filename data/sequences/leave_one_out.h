// Which part of a user's list is for what: leave-one-out, as S3-Rec, CoSeRec and SRMA evaluate.
//
//   items                a b c d e f      n = 6
//   training input       a b c            items[:-3]
//   training targets       b c d          items[1:-2]: what comes next
//   validation history   a b c d          items[:-2], answer e = items[-2]
//   test history         a b c d e        items[:-1], answer f = items[-1]
//
// A user of fewer than 4 items has no training pair: with 3 items he is evaluated and not trained
// on, with fewer he is left out (statistics() counts both).
//
// Pure functions of spans, which are views of the list; any thread.
#pragma once

#include "data/sequences/interactions.h"

#include <cstdint>
#include <span>
#include <vector>

namespace cltrain {

inline constexpr int64_t kLeastToTrain = 4;
inline constexpr int64_t kLeastToEvaluate = 3;

/// A list without its last `count` items; empty if it has no more than those.
inline std::span<const int32_t> without_last(std::span<const int32_t> items, size_t count) {
  return items.first(items.size() > count ? items.size() - count : 0);
}

/// items[:-3]: at least one item where there are kLeastToTrain, else empty.
inline std::span<const int32_t> training_input(std::span<const int32_t> items) {
  return without_last(items, 3);
}
/// items[1:-2]: what follows each item of training_input().
inline std::span<const int32_t> training_targets(std::span<const int32_t> items) {
  return items.size() > 3 ? items.subspan(1, items.size() - 3) : items.first(0);
}

/// A history, and the item that came next.
struct HeldOut {
  std::span<const int32_t> history;
  int32_t answer;
};
/// Both require items.size() >= kLeastToEvaluate.
inline HeldOut validation_part(std::span<const int32_t> items) {
  return {without_last(items, 2), items[items.size() - 2]};
}
inline HeldOut test_part(std::span<const int32_t> items) {
  return {without_last(items, 1), items.back()};
}

/// Users of at least kLeastToTrain items, in the order of the file.
std::vector<int64_t> trained_users(const Interactions& interactions);
/// Users of at least kLeastToEvaluate items, in the order of the file.
std::vector<int64_t> evaluated_users(const Interactions& interactions);

/// Writes the last `length` items to out[0 .. length), with 0 to the left of a shorter list.
void write_window(std::span<const int32_t> items, int64_t length, int64_t* out);

}  // namespace cltrain
