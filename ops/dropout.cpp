#include "ops/dropout.h"

#include "ops/dropout_kernel.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#ifdef CLTRAIN_CUDA
#include <c10/cuda/CUDAStream.h>
#endif

namespace cltrain {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Draw {
  double probability;
  PhiloxKey key;
  uint32_t view, site;
};

template <class T>
void on_cpu(const at::Tensor& x, at::Tensor& y, const at::Tensor& ids, const Draw& draw) {
  const int64_t rows = x.size(0), length = rows ? x.numel() / rows : 0;
  const auto* from = x.const_data_ptr<T>();
  auto* to = y.mutable_data_ptr<T>();
  const auto* id = ids.const_data_ptr<int64_t>();
  const int64_t grain = std::max<int64_t>(1, 65536 / std::max<int64_t>(1, length));
  at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
    dropout_rows(from + begin * length, to + begin * length, id + begin, end - begin, length,
                 dropout_threshold(draw.probability), static_cast<T>(1 / (1 - draw.probability)),
                 draw.key, draw.view, draw.site);
  });
}

at::Tensor apply_mask(const at::Tensor& input, const at::Tensor& ids, const Draw& draw) {
  const at::Tensor x = input.contiguous();
  at::Tensor y = at::empty_like(x);
#ifdef CLTRAIN_CUDA
  if (x.is_cuda()) {
    TORCH_CHECK(x.scalar_type() == at::kFloat, "keyed dropout on CUDA takes float32; received ",
                x.scalar_type());
    const at::Tensor device_ids = ids.to(x.device());
    const int64_t rows = x.size(0), length = rows ? x.numel() / rows : 0;
    dropout_rows_cuda(x.const_data_ptr<float>(), y.mutable_data_ptr<float>(),
                      device_ids.const_data_ptr<int64_t>(), rows, length,
                      dropout_threshold(draw.probability),
                      static_cast<float>(1 / (1 - draw.probability)), draw.key, draw.view,
                      draw.site, c10::cuda::getCurrentCUDAStream().stream());
    return y;
  }
#endif
  TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble,
              "keyed dropout takes float32 or float64 on the CPU; received ", x.scalar_type());
  x.scalar_type() == at::kFloat ? on_cpu<float>(x, y, ids, draw) : on_cpu<double>(x, y, ids, draw);
  return y;
}

// The words of the key and the place travel to backward as one integer list.
struct KeyedDropout : torch::autograd::Function<KeyedDropout> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& ids,
                            Draw draw) {
    context->save_for_backward({ids});
    context->saved_data["probability"] = draw.probability;
    context->saved_data["draw"] =
        std::vector<int64_t>{draw.key.low, draw.key.high, draw.view, draw.site};
    return apply_mask(x, ids, draw);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto words = context->saved_data["draw"].toIntVector();
    const Draw draw{context->saved_data["probability"].toDouble(),
                    {static_cast<uint32_t>(words[0]), static_cast<uint32_t>(words[1])},
                    static_cast<uint32_t>(words[2]),
                    static_cast<uint32_t>(words[3])};
    return {apply_mask(gradients[0], context->get_saved_variables()[0], draw), at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor keyed_dropout(const at::Tensor& x, const at::Tensor& sample_ids, double probability,
                         PhiloxKey key, uint32_t view, uint32_t site) {
  TORCH_CHECK(probability >= 0 && probability < 1, "dropout probability ", probability,
              "; allowed: 0 <= p < 1");
  TORCH_CHECK(sample_ids.scalar_type() == at::kLong && sample_ids.dim() == 1 &&
                  sample_ids.size(0) == x.size(0),
              "keyed dropout: sample_ids is int64 [B] with B = ", x.size(0), "; received ",
              sample_ids.scalar_type(), " ", sample_ids.sizes());
  TORCH_CHECK(view < 16 && site < 4096, "keyed dropout: view ", view, ", site ", site,
              " do not fit; allowed: below 16 and 4096");
  if (probability == 0) return x;
  return KeyedDropout::apply(x, sample_ids.contiguous(), Draw{probability, key, view, site});
}

}  // namespace cltrain
