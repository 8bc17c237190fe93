#include "dist/global_lse.h"
#include "dist/remembered_rows.h"
#include "ops/row_dots.h"

#include <algorithm>

#include <ATen/TensorOperators.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>

namespace cltrain {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

struct FadedKeys {
  at::Tensor keys, ages;  ///< this rank's, [slots, D] and [slots]; ages undefined: nothing fades
  double decay = 1;
};

template <class Visit>
void visit_keys(const FadedKeys& all, at::ScalarType type, Visit&& visit) {
  for (int64_t begin = 0; begin < all.keys.size(0); begin += kKeysAtATime) {
    const int64_t count = std::min(kKeysAtATime, all.keys.size(0) - begin);
    at::Tensor block = all.keys.narrow(0, begin, count);
    if (all.ages.defined()) {
      const at::Tensor weight =
          at::pow(at::Scalar(all.decay), all.ages.narrow(0, begin, count).to(at::kDouble));
      block = block * weight.to(block.scalar_type()).unsqueeze(1);
    }
    visit(block.to(type));
  }
}

struct QueueContrast : Function<QueueContrast> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given,
                            const at::Tensor& given_keys, const at::Tensor& scale,
                            const FadedKeys* queue, const GlobalRows* where, const Enter* enter) {
    const at::Tensor queries = compute_type(given, *where), keys = compute_type(given_keys, *where);
    const double factor = scale.item<double>();
    const at::Tensor all = where->communicator.all_gather(queries, where->rows);
    (*enter)("loss");
    std::vector<at::Tensor> parts;
    visit_keys(*queue, queries.scalar_type(), [&](const at::Tensor& block) {
      parts.push_back(
          lse_forward({all, block, factor, {}, where->cuda_kernels}, LseDirections::kRows).rows);
    });
    const at::Tensor own = parts.size() == 1 ? parts[0] : combine_lse(at::stack(parts));
    const at::Tensor lse = combine_lse(where->communicator.all_gather_each(own))
                               .narrow(0, where->first(), given.size(0))
                               .contiguous();
    const at::Tensor positive = row_dots(queries, keys) * factor;
    context->save_for_backward({all, scale, lse, queue->keys, queue->ages, keys, positive});
    context->saved_data["decay"] = queue->decay;
    remember(context, *where, given.scalar_type());
    return positive.logaddexp(lse) - positive;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &all = saved[0], &scale = saved[1];
    const GlobalRows where = remembered_rows(context);
    const double factor = scale.item<double>();
    // The share of the negatives in the softmax: what the loss feels of their LSE, and, with the
    // other sign, of the positive.
    const at::Tensor up = gradients[0] * (saved[2] - saved[6]).sigmoid();
    const LseAdjoint adjoint = adjoint_of(gather_columns({saved[2], up}, where), 0, 0, all.size(0));
    const at::Tensor of_all = zero_gradient(all);
    const FadedKeys queue{saved[3], saved[4], context->saved_data["decay"].toDouble()};
    visit_keys(queue, all.scalar_type(), [&](const at::Tensor& block) {
      lse_backward({all, block, factor, {}, where.cuda_kernels}, adjoint, {}, /*want_anchors=*/true,
                   /*want_candidates=*/false, {of_all, {}});
    });
    const at::Tensor found = where.communicator.reduce_scatter_sum(of_all, where.rows);
    const at::Tensor queries = all.narrow(0, where.first(), found.size(0));
    const double by_scale =
        scale_gradient(queries, found, factor) - (up * saved[6]).sum().item<double>() / factor;
    subtract_positives(found, saved[5], up, factor);
    variable_list result(6);
    if (context->needs_input_grad(0)) result[0] = found.to(remembered_type(context));
    if (context->needs_input_grad(2)) result[2] = scalar_like(by_scale, scale);
    return result;
  }
};

}  // namespace

at::Tensor global_queue_contrast(const at::Tensor& queries, const at::Tensor& keys,
                                 const ShardedQueue& queue, const at::Tensor& scale, double decay,
                                 const GlobalRows& where, const Enter& enter) {
  TORCH_CHECK(queries.sizes() == keys.sizes(), "queries have shape ", queries.sizes(), " and keys ",
              keys.sizes(), "; allowed: the same [rows, width]");
  enter("gather");
  check_exchange(queries, scale, where);
  TORCH_CHECK(queries.size(1) == queue.keys.size(1), "queries of width ", queries.size(1),
              " meet a queue of width ", queue.keys.size(1));
  const FadedKeys faded{queue.keys, decay == 1 ? at::Tensor() : queue.ages(), decay};
  return QueueContrast::apply(queries.contiguous(), keys.detach().contiguous(), scale, &faded,
                              &where, &enter);
}

}  // namespace cltrain
