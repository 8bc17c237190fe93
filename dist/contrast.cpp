#include "dist/contrast.h"

#include "dist/gather.h"
#include "ops/nt_xent.h"

#include <numeric>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

namespace cltrain {

at::Tensor global_nt_xent(const at::Tensor& view0, const at::Tensor& view1, const at::Tensor& scale,
                          const std::vector<int64_t>& rows, const Communicator& communicator,
                          const std::function<void(const char*)>& enter) {
  enter("gather");
  const int64_t batch = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  const int64_t first =
      std::accumulate(rows.begin(), rows.begin() + communicator.rank(), int64_t{0});
  // Columns 0..B-1 are every image's first view, B..2B-1 the second; both in global order.
  const at::Tensor candidates = at::cat(
      {gather_with_grad(view0, rows, communicator), gather_with_grad(view1, rows, communicator)});
  enter("loss");
  const at::Tensor mine =
      at::arange(first, first + view0.size(0), view0.options().dtype(at::kLong));
  const at::Tensor self_column = at::cat({mine, mine + batch});
  const at::Tensor positive_column = at::cat({mine + batch, mine});
  return nt_xent_share(at::cat({view0, view1}), candidates, self_column, positive_column, scale,
                       2 * batch);
}

}  // namespace cltrain
