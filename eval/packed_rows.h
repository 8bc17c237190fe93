// A matrix in the memory order of tile_product's second operand: panels of 48 rows, side by side.
// What the searches of eval/nearest.h and the ranking of eval/ranking.h run over.
//
// A copy; read-only after construction, so any thread may read. One rank.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

class PackedRows {
 public:
  static constexpr int64_t kPanel = 48;  ///< rows side by side: the widest tile of tile_product

  /// rows [n, D] float32 on the CPU (the caller's to check).
  explicit PackedRows(const at::Tensor& rows);

  int64_t rows() const { return rows_; }
  int64_t width() const { return width_; }
  int64_t panels() const { return (rows_ + kPanel - 1) / kPanel; }
  /// [D, kPanel], zero where the last panel has no row.
  const float* panel(int64_t index) const { return panels_.data() + index * width_ * kPanel; }
  /// Of a panel.
  int64_t rows_in(int64_t index) const { return std::min(kPanel, rows_ - index * kPanel); }

 private:
  int64_t rows_, width_;
  std::vector<float> panels_;
};

}  // namespace cltrain
