#include "dist/sync_batch_norm.h"

#include "ops/batch_norm.h"
#include "ops/batch_norm_bfloat16.h"

#include <optional>

#include <ATen/TensorOperators.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/threshold_backward.h>
#include <torch/csrc/autograd/custom_function.h>

namespace cltrain {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Undefined tensors travel as empty optionals: torch looks at every tensor argument.
using OptionalTensor = std::optional<at::Tensor>;

OptionalTensor optional(const at::Tensor& tensor) {
  return tensor.defined() ? OptionalTensor(tensor) : std::nullopt;
}

struct SyncBatchNorm : torch::autograd::Function<SyncBatchNorm> {
  // `relu` is for bfloat16 on the CPU only, and `addend` for `relu` only.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const OptionalTensor& addend, const OptionalTensor& scale,
                            const OptionalTensor& shift, bool relu, double epsilon,
                            const Communicator* communicator, BatchStatistics* statistics) {
    const at::Tensor weight = scale.value_or(at::Tensor()), bias = shift.value_or(at::Tensor());
    at::Tensor moments = channel_moments(x);
    if (communicator) moments = merge_moments(communicator->all_gather_each(moments));
    const int64_t channels = x.size(1);
    const at::Tensor mean = moments.narrow(0, 0, channels).contiguous();
    const at::Tensor squares = moments.narrow(0, channels, channels);
    const at::Tensor count = moments.narrow(0, 2 * channels, 1).clamp_min(1.0);
    const at::Tensor inverse_deviation = (squares / count + epsilon).rsqrt();
    *statistics = {mean, squares / (count - 1.0).clamp_min(1.0)};
    const at::Tensor y = relu ? bfloat16_normalize(x, mean, inverse_deviation, weight, bias,
                                                   addend.value_or(at::Tensor()), relu)
                              : channel_normalize(x, mean, inverse_deviation, weight, bias);
    context->save_for_backward(
        {x, weight, mean, inverse_deviation, count, relu ? y : at::Tensor()});
    context->saved_data["communicator"] = reinterpret_cast<int64_t>(communicator);
    context->saved_data["added"] = addend.has_value();
    if (bias.defined()) context->saved_data["bias_type"] = bias.scalar_type();
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &mean = saved[2], &inverse = saved[3];
    at::Tensor dy = gradients[0], y = saved[5], daddend;
    if (context->saved_data["added"].toBool()) {
      // What passes the ReLU is the addend's gradient as well: it has to be written in any case.
      dy = daddend = at::threshold_backward(dy, y, 0);
      y = at::Tensor();
    }
    const auto* communicator =
        reinterpret_cast<const Communicator*>(context->saved_data["communicator"].toInt());
    const at::Tensor local = y.defined() ? bfloat16_gradient_sums(dy, x, y, mean, inverse)
                                         : channel_gradient_sums(dy, x, mean, inverse);
    at::Tensor total = local;
    if (communicator) {
      total = local.clone();
      communicator->all_reduce_sum(total);
    }
    const at::Tensor means = total / saved[4];
    at::Tensor dweight, dbias;
    const at::Tensor dx = y.defined()
                              ? bfloat16_input_gradient(dy, x, y, mean, inverse, weight, means)
                              : channel_input_gradient(dy, x, mean, inverse, weight, means);
    if (weight.defined()) dweight = local[1].to(weight.scalar_type());
    if (const auto type = context->saved_data.find("bias_type"); type != context->saved_data.end())
      dbias = local[0].to(type->second.toScalarType());
    return {dx, daddend, dweight, dbias, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor sync_batch_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           double epsilon, const Communicator* communicator,
                           BatchStatistics& statistics) {
  const auto apply = [&](const at::Tensor& rows) {
    return SyncBatchNorm::apply(rows, OptionalTensor(), optional(weight), optional(bias),
                                /*relu=*/false, epsilon, communicator, &statistics);
  };
  // Channels of [N, C] lie scattered; as [1, C, N] each is one run of memory.
  if (x.dim() == 2 && !is_cpu_bfloat16(x))
    return apply(x.t().contiguous().unsqueeze(0)).squeeze(0).t();
  return apply(x);
}

at::Tensor sync_batch_norm_relu(const at::Tensor& x, const at::Tensor& addend,
                                const at::Tensor& weight, const at::Tensor& bias, double epsilon,
                                const Communicator* communicator, BatchStatistics& statistics) {
  if (is_cpu_bfloat16(x) && (!addend.defined() || is_cpu_bfloat16(addend)))
    return SyncBatchNorm::apply(x, optional(addend), optional(weight), optional(bias),
                                /*relu=*/true, epsilon, communicator, &statistics);
  const at::Tensor y = sync_batch_norm(x, weight, bias, epsilon, communicator, statistics);
  return at::relu(addend.defined() ? y + addend : y);
}

}  // namespace cltrain
