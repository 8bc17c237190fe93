#include "dist/sync_batch_norm.h"

#include "ops/batch_norm.h"

#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/custom_function.h>

namespace cltrain {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct SyncBatchNorm : torch::autograd::Function<SyncBatchNorm> {
  // Undefined tensors travel as empty optionals: torch looks at every tensor argument.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const std::optional<at::Tensor>& scale,
                            const std::optional<at::Tensor>& shift, double epsilon,
                            const Communicator* communicator, BatchStatistics* statistics) {
    const at::Tensor weight = scale.value_or(at::Tensor()), bias = shift.value_or(at::Tensor());
    at::Tensor moments = channel_moments(x);
    if (communicator) {
      const std::vector<int64_t> one_each(communicator->size(), 1);
      moments = merge_moments(communicator->all_gather(moments.unsqueeze(0), one_each));
    }
    const int64_t channels = x.size(1);
    const at::Tensor mean = moments.narrow(0, 0, channels).contiguous();
    const at::Tensor squares = moments.narrow(0, channels, channels);
    const at::Tensor count = moments.narrow(0, 2 * channels, 1).clamp_min(1.0);
    const at::Tensor inverse_deviation = (squares / count + epsilon).rsqrt();
    *statistics = {mean, squares / (count - 1.0).clamp_min(1.0)};
    context->save_for_backward({x, weight, mean, inverse_deviation, count});
    context->saved_data["communicator"] = reinterpret_cast<int64_t>(communicator);
    if (bias.defined()) context->saved_data["bias_type"] = bias.scalar_type();
    return channel_normalize(x, mean, inverse_deviation, weight, bias);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &mean = saved[2], &inverse = saved[3];
    const auto* communicator =
        reinterpret_cast<const Communicator*>(context->saved_data["communicator"].toInt());
    const at::Tensor local = channel_gradient_sums(gradients[0], x, mean, inverse);
    at::Tensor total = local;
    if (communicator) {
      total = local.clone();
      communicator->all_reduce_sum(total);
    }
    at::Tensor dx, dweight, dbias;
    dx = channel_input_gradient(gradients[0], x, mean, inverse, weight, total / saved[4]);
    if (weight.defined()) dweight = local[1].to(weight.scalar_type());
    if (const auto type = context->saved_data.find("bias_type"); type != context->saved_data.end())
      dbias = local[0].to(type->second.toScalarType());
    return {dx, dweight, dbias, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor sync_batch_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           double epsilon, const Communicator* communicator,
                           BatchStatistics& statistics) {
  const auto optional = [](const at::Tensor& tensor) {
    return tensor.defined() ? std::optional(tensor) : std::nullopt;
  };
  // Channels of [N, C] lie scattered; as [1, C, N] each is one run of memory.
  if (x.dim() == 2)
    return SyncBatchNorm::apply(x.t().contiguous().unsqueeze(0), optional(weight), optional(bias),
                                epsilon, communicator, &statistics)
        .squeeze(0)
        .t();
  return SyncBatchNorm::apply(x, optional(weight), optional(bias), epsilon, communicator,
                              &statistics);
}

}  // namespace cltrain
