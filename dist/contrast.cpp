#include "dist/contrast.h"

#include <ATen/TensorOperators.h>

namespace cltrain {
namespace {

GlobalRows global_rows(const std::vector<int64_t>& rows, const Communicator& communicator,
                       const ContrastSettings& settings) {
  return {rows, communicator, settings.exchange, settings.bfloat16, settings.cuda_kernels};
}

}  // namespace

at::Tensor global_nt_xent(const at::Tensor& view0, const at::Tensor& view1, const at::Tensor& scale,
                          const std::vector<int64_t>& rows, const Communicator& communicator,
                          const Enter& enter, const ContrastSettings& settings) {
  GlobalRows where = global_rows(rows, communicator, settings);
  for (int64_t& count : where.rows) count *= 2;  // both views of a rank's images, the first first
  return global_self_contrast(view0, view1, scale, where, enter).sum() /
         static_cast<double>(where.total());
}

at::Tensor global_clip(const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale,
                       const std::vector<int64_t>& rows, const Communicator& communicator,
                       const Enter& enter, const ContrastSettings& settings) {
  const GlobalRows where = global_rows(rows, communicator, settings);
  const TwoWayLse losses = global_two_way_lse(x, y, scale, where, enter, /*minus_positives=*/true);
  return (losses.rows.sum() + losses.columns.sum()) / static_cast<double>(2 * where.total());
}

at::Tensor global_one_way(const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale,
                          const std::vector<int64_t>& rows, const Communicator& communicator,
                          const Enter& enter, const ContrastSettings& settings) {
  const GlobalRows where = global_rows(rows, communicator, settings);
  const TwoWayLse losses = global_two_way_lse(x, y, scale, where, enter, /*minus_positives=*/true);
  return losses.rows.sum() / static_cast<double>(where.total());
}

at::Tensor global_queue_info_nce(const at::Tensor& queries, const at::Tensor& keys,
                                 const ShardedQueue& queue, const at::Tensor& scale,
                                 const std::vector<int64_t>& rows, const Communicator& communicator,
                                 const Enter& enter, const ContrastSettings& settings,
                                 double decay) {
  const GlobalRows where = global_rows(rows, communicator, settings);
  return global_queue_contrast(queries, keys, queue, scale, decay, where, enter).sum() /
         static_cast<double>(where.total());
}

at::Tensor global_info_nce(const at::Tensor& queries, const at::Tensor& keys,
                           const at::Tensor& scale, const std::vector<int64_t>& rows,
                           const Communicator& communicator, const Enter& enter,
                           const ContrastSettings& settings) {
  const GlobalRows where = global_rows(rows, communicator, settings);
  return global_key_contrast(queries, keys, scale, where, enter).sum() /
         static_cast<double>(where.total());
}

}  // namespace cltrain
