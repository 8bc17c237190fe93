// The best items for users' representations, without those that are to be left out: the core of
// `cltrain recommend`.
//
// One rank, no communication. Exact; equal scores by item id; only items 1 .. V - 2 are ever
// recommended, not the pad nor the reserved id. On the CPU the same bits at any number of threads
// and users in a call (eval/nearest.h). Throws c10::Error for what does not fit or is not finite.
#pragma once

#include "eval/item_lists.h"
#include "eval/nearest.h"

#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>

namespace cltrain {

/// Of n users: [n, k] on the CPU, best first; where fewer than k items are left, -1 and -inf.
struct Recommendations {
  at::Tensor items;   ///< int64
  at::Tensor scores;  ///< float32
};

class Recommender {
 public:
  /// items [V, d] float32, V >= 3, on any device: row 0 the pad, row V - 1 the reserved id. On the
  /// CPU it is copied.
  explicit Recommender(const at::Tensor& items);

  /// representations [n, d] float32 on the table's device; `left_out`: n lists, such as histories.
  Recommendations best(const at::Tensor& representations, int64_t k,
                       const ItemLists& left_out) const;

 private:
  at::Tensor items_;  ///< rows 1 .. V - 2
  std::optional<TiledBase> tiles_;
};

}  // namespace cltrain
