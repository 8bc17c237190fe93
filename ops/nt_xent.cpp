#include "ops/nt_xent.h"

#include <limits>

#include <ATen/TensorOperators.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/util/Exception.h>

namespace cltrain {

at::Tensor nt_xent_share(const at::Tensor& anchors, const at::Tensor& candidates,
                         const at::Tensor& self_column, const at::Tensor& positive_column,
                         const at::Tensor& scale, int64_t total_anchors) {
  TORCH_CHECK(anchors.dim() == 2 && candidates.dim() == 2 && anchors.size(1) == candidates.size(1),
              "nt_xent: anchors [M, D] and candidates [K, D] share D; received ", anchors.sizes(),
              " and ", candidates.sizes());
  // Autocast would round the similarities to bfloat16.
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const at::Tensor similarity = anchors.matmul(candidates.t()) * scale;  // [M, K]
  const at::Tensor others =
      similarity.scatter(1, self_column.unsqueeze(1), -std::numeric_limits<double>::infinity());
  const at::Tensor positive = similarity.gather(1, positive_column.unsqueeze(1)).squeeze(1);
  return (others.logsumexp(1) - positive).sum() / static_cast<double>(total_anchors);
}

}  // namespace cltrain
