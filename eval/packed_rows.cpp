#include "eval/packed_rows.h"

#include <ATen/Parallel.h>

namespace cltrain {

PackedRows::PackedRows(const at::Tensor& rows)
    : rows_(rows.size(0)),
      width_(rows.size(1)),
      panels_(static_cast<size_t>(panels() * width_ * kPanel)) {
  const at::Tensor packed = rows.contiguous();
  const float* from = packed.const_data_ptr<float>();
  at::parallel_for(0, panels(), 16, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      float* to = panels_.data() + index * width_ * kPanel;
      for (int64_t j = 0; j < rows_in(index); ++j) {
        const float* row = from + (index * kPanel + j) * width_;
        for (int64_t d = 0; d < width_; ++d) to[d * kPanel + j] = row[d];
      }
    }
  });
}

}  // namespace cltrain
