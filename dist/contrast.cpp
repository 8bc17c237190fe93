#include "dist/contrast.h"

#include <ATen/TensorOperators.h>

namespace cltrain {
at::Tensor global_nt_xent(const at::Tensor& view0, const at::Tensor& view1, const at::Tensor& scale,
                          const std::vector<int64_t>& rows, const Communicator& communicator,
                          const Enter& enter, const ContrastSettings& settings) {
  GlobalRows where{rows, communicator, settings.exchange, settings.bfloat16, settings.cuda_kernels};
  for (int64_t& count : where.rows) count *= 2;  // both views of a rank's images, the first first
  return global_self_contrast(view0, view1, scale, where, enter).sum() /
         static_cast<double>(where.total());
}

at::Tensor global_clip(const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale,
                       const std::vector<int64_t>& rows, const Communicator& communicator,
                       const Enter& enter, const ContrastSettings& settings) {
  const GlobalRows where{rows, communicator, settings.exchange, settings.bfloat16,
                         settings.cuda_kernels};
  const TwoWayLse losses = global_two_way_lse(x, y, scale, where, enter, /*minus_positives=*/true);
  return (losses.rows.sum() + losses.columns.sum()) / static_cast<double>(2 * where.total());
}

}  // namespace cltrain
