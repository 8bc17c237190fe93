#include "dist/contrast.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>

namespace cltrain {
at::Tensor global_nt_xent(const at::Tensor& view0, const at::Tensor& view1, const at::Tensor& scale,
                          const std::vector<int64_t>& rows, const Communicator& communicator,
                          const std::function<void(const char*)>& enter,
                          const ContrastSettings& settings) {
  GlobalRows where{rows, communicator, settings.exchange, settings.bfloat16};
  for (int64_t& count : where.rows) count *= 2;  // both views of a rank's images, the first first
  const at::Tensor positive = pair_logits(view0, view1, scale, settings.bfloat16);
  const at::Tensor lse = global_self_lse(at::cat({view0, view1}), scale, {}, where, enter);
  return (lse.sum() - 2 * positive.sum()) / static_cast<double>(where.total());
}

at::Tensor global_clip(const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale,
                       const std::vector<int64_t>& rows, const Communicator& communicator,
                       const std::function<void(const char*)>& enter,
                       const ContrastSettings& settings) {
  const GlobalRows where{rows, communicator, settings.exchange, settings.bfloat16};
  const at::Tensor positive = pair_logits(x, y, scale, settings.bfloat16);
  const TwoWayLse lse = global_two_way_lse(x, y, scale, where, enter);
  return (lse.rows.sum() + lse.columns.sum() - 2 * positive.sum()) /
         static_cast<double>(2 * where.total());
}

}  // namespace cltrain
