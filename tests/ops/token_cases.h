// Rows of items for the tests of tokens: short and full ones, masked items inside, a row of
// padding.
#pragma once

#include "ops/token_dropout.h"
#include "ops/token_rows.h"

#include <vector>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>

namespace cltrain::testing {

/// Left-padded to `length`.
inline at::Tensor left_padded(const std::vector<std::vector<int64_t>>& rows, int64_t length) {
  at::Tensor items = at::zeros({static_cast<int64_t>(rows.size()), length}, at::kLong);
  for (size_t row = 0; row < rows.size(); ++row)
    for (size_t i = 0; i < rows[row].size(); ++i)
      items[row][length - rows[row].size() + i] = rows[row][i];
  return items;
}

/// Of 12 slots, ids up to 21.
inline at::Tensor sample_items() {
  return left_padded({{3, 1, 4},
                      {9, 0, 0, 5, 20, 6},
                      {7, 0},
                      {},
                      {11, 8, 2, 10, 4, 4, 19, 3, 15, 16, 1, 12},
                      {21}},
                     12);
}

/// B rows of `length` slots with 1 to `length` items each, some of them masked.
inline at::Tensor many_items(int64_t count, int64_t length, int64_t items) {
  at::Tensor made = at::zeros({count, length}, at::kLong);
  KeyedStream stream(random_key(5, Purpose::kProbe, 0), 0, 0, 0);
  auto out = made.accessor<int64_t, 2>();
  for (int64_t row = 0; row < count; ++row) {
    const auto first = static_cast<int64_t>(stream.below(length));
    for (int64_t slot = first; slot < length; ++slot)
      out[row][slot] =
          slot > first && stream.chance(0.2) ? 0 : 1 + static_cast<int64_t>(stream.below(items));
  }
  return made;
}

inline TokenDropout some_dropout(const TokenRows& rows, double probability, uint32_t site,
                                 uint32_t view = 1) {
  return {probability, random_key(11, Purpose::kDropout, 7),
          at::arange(rows.rows(), at::kLong) * 1000003 + 17, view, site};
}

/// The tokens of `whole` [B * L, ...] that `rows` has.
inline at::Tensor kept_tokens(const at::Tensor& whole, const TokenRows& rows) {
  return whole.index_select(0, rows.places);
}

/// Sets the intra-op threads for its life.
class WithThreads {
 public:
  explicit WithThreads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~WithThreads() { at::set_num_threads(before_); }

 private:
  int before_;
};

}  // namespace cltrain::testing
