#include "dist/take_rows.h"

#include "dist/exchange.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

namespace cltrain {

at::Tensor take_rows(const at::Tensor& local, const std::vector<int64_t>& wanted,
                     const std::vector<int64_t>& rows, const Communicator& communicator) {
  const c10::NoGradGuard no_grad;
  const GlobalRows where{rows, communicator, Exchange::kRing};
  std::vector<int64_t> shape = local.sizes().vec();
  int64_t width = 1;  // as flatten would have it, of no rows too
  for (size_t i = 1; i < shape.size(); ++i) width *= shape[i];
  at::Tensor found = at::empty({static_cast<int64_t>(wanted.size()), width}, local.options());
  visit_rows(local.contiguous().view({local.size(0), width}), {}, where,
             [&](const at::Tensor& block, int64_t first) {
               std::vector<int64_t> from, to;
               for (size_t i = 0; i < wanted.size(); ++i)
                 if (wanted[i] >= first && wanted[i] < first + block.size(0)) {
                   from.push_back(wanted[i] - first);
                   to.push_back(static_cast<int64_t>(i));
                 }
               const auto numbers = [&](const std::vector<int64_t>& values) {
                 return at::tensor(values, at::kLong).to(local.device());
               };
               found.index_copy_(0, numbers(to), block.index_select(0, numbers(from)));
             });
  shape[0] = found.size(0);
  return found.view(shape);
}

}  // namespace cltrain
