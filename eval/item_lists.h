// Lists of item ids, one a user, behind one another: histories of a ranking, ids that a
// recommendation leaves out.
//
// Plain data on the CPU; any thread may read. Item ids: an item table has V = items + 2 rows, row 0
// the pad and row V - 1 a reserved id (SRMA, S3-Rec and their family); items are 1 .. V - 2.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

struct ItemLists {
  at::Tensor offsets;  ///< [n + 1] int64, contiguous on the CPU, from 0, not falling; the last is
                       ///< ids' length
  at::Tensor ids;      ///< int32, contiguous on the CPU, each 1 .. items; may repeat within a list

  int64_t size() const { return offsets.size(0) - 1; }
  std::span<const int32_t> of(int64_t user) const {
    const auto* at = offsets.const_data_ptr<int64_t>() + user;
    return {ids.const_data_ptr<int32_t>() + at[0], static_cast<size_t>(at[1] - at[0])};
  }
};

/// Lists begin .. begin + count - 1; shares the ids.
ItemLists some_lists(const ItemLists& lists, int64_t begin, int64_t count);

/// n lists without ids.
ItemLists empty_lists(int64_t n);

/// Throws c10::Error, its text beginning with `who`, unless these are `users` lists of ids
/// 1 .. `items`.
void check_item_lists(const ItemLists& lists, int64_t users, int64_t items, const char* who);

/// `list` in rising order, each id once, in `to`.
void sorted_once(std::span<const int32_t> list, std::vector<int32_t>& to);

}  // namespace cltrain
