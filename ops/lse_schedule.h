// The order in which blocks of rows meet blocks of columns, so that threads never write to the same
// block at a time and every block is summed in one fixed order: the same bits at any number of
// threads, and no buffer a thread. Pure arithmetic.
//
// A schedule is a sequence of rounds; the lanes of a round are independent of each other, the steps
// of a lane follow each other.
//   rows       one round; lane i walks all columns of block row i (nothing is written by column)
//   rectangle  round r pairs row i with column (i + r) mod n: a Latin square
//   triangle   the diagonal, then a round-robin tournament (the circle method): everybody meets
//              everybody once, nobody plays twice in a round
#pragma once

#include "ops/lse.h"

#include <algorithm>
#include <cstdint>

namespace cltrain {

inline constexpr int64_t kLargestBlock = 256;

/// Rows 0 .. count - 1 in blocks. Their size depends on the count alone: small problems still have
/// enough blocks for many threads.
struct Blocks {
  int64_t count = 0, size = 0;

  explicit Blocks(int64_t rows)
      : count(rows), size(std::clamp<int64_t>((rows / 16 + 31) / 32 * 32, 32, kLargestBlock)) {}
  int64_t blocks() const { return (count + size - 1) / size; }
  int64_t begin(int64_t block) const { return block * size; }
  int64_t rows(int64_t block) const { return std::min(size, count - block * size); }
};

struct BlockPair {
  int64_t row = -1, column = -1;
  bool none() const { return row < 0; }
};

class LseSchedule {
 public:
  enum class Kind { kRows, kRectangle, kTriangle };

  LseSchedule(Kind kind, int64_t rows, int64_t columns, TileShare share = {})
      : kind_(kind), rows_(rows), columns_(columns), share_(share) {}

  int64_t rounds() const {
    if (rows_ == 0 || columns_ == 0) return 0;
    if (kind_ == Kind::kRows) return 1;
    return kind_ == Kind::kRectangle ? std::max(rows_, columns_) : 1 + players() - 1;
  }
  int64_t lanes(int64_t round) const {
    if (kind_ != Kind::kTriangle) return rows_;
    return round == 0 ? rows_ : players() / 2;
  }
  int64_t steps() const { return kind_ == Kind::kRows ? columns_ : 1; }

  /// none() where a lane rests.
  BlockPair pair(int64_t round, int64_t lane, int64_t step) const {
    if (kind_ == Kind::kRows) return {lane, step};
    if (kind_ == Kind::kRectangle) {
      const int64_t column = (lane + round) % std::max(rows_, columns_);
      return column < columns_ ? BlockPair{lane, column} : BlockPair{};
    }
    const int64_t number = round * rows_ + lane;
    if (number % share_.count != share_.index) return {};
    return round == 0 ? BlockPair{lane, lane} : match(round - 1, lane);
  }

 private:
  int64_t players() const { return rows_ + rows_ % 2; }

  // Player n - 1 stays, the others move round a circle; with an odd number somebody rests.
  BlockPair match(int64_t round, int64_t lane) const {
    const int64_t circle = players() - 1;
    const int64_t one = lane == 0 ? circle : (round + lane) % circle;
    const int64_t other = lane == 0 ? round : (round - lane + circle) % circle;
    if (std::max(one, other) >= rows_) return {};
    return {std::min(one, other), std::max(one, other)};
  }

  Kind kind_;
  int64_t rows_, columns_;
  TileShare share_;
};

}  // namespace cltrain
