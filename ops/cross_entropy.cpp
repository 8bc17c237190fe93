#include "ops/cross_entropy.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

namespace cltrain {

at::Tensor cross_entropy_rows(const at::Tensor& logits, const at::Tensor& labels,
                              double smoothing) {
  TORCH_CHECK(logits.dim() == 2 && labels.dim() == 1 && labels.size(0) == logits.size(0),
              "cross entropy: logits ", logits.sizes(), " and labels ", labels.sizes(),
              "; allowed: [N, C] and [N]");
  // float64 throughout: N x C values are little beside the network that made them.
  const at::Tensor log_p = at::log_softmax(logits.to(at::kDouble), 1);
  const at::Tensor own = log_p.gather(1, labels.clamp_min(0).unsqueeze(1)).squeeze(1);
  at::Tensor rows = own * (smoothing - 1);
  if (smoothing > 0) rows = rows - log_p.mean(1) * smoothing;
  return at::where(labels.ge(0), rows, at::zeros_like(rows));
}

}  // namespace cltrain
