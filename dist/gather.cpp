#include "dist/gather.h"

#include <torch/csrc/autograd/custom_function.h>

namespace cltrain {
namespace {

struct Gather : torch::autograd::Function<Gather> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& local,
                            std::vector<int64_t> rows, const Communicator* communicator) {
    context->saved_data["rows"] = rows;
    context->saved_data["communicator"] = reinterpret_cast<int64_t>(communicator);
    return communicator->all_gather(local, rows);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto* communicator =
        reinterpret_cast<const Communicator*>(context->saved_data["communicator"].toInt());
    return {
        communicator->reduce_scatter_sum(gradients[0], context->saved_data["rows"].toIntVector()),
        at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor gather_with_grad(const at::Tensor& local, const std::vector<int64_t>& rows,
                            const Communicator& communicator) {
  return Gather::apply(local, rows, &communicator);
}

}  // namespace cltrain
