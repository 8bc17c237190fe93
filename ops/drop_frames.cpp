#include "ops/drop_frames.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

namespace cltrain {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct DropFrames : torch::autograd::Function<DropFrames> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& clips,
                            const at::Tensor& scores, int64_t count) {
    context->saved_data["type"] = scores.scalar_type();
    const at::Tensor dropped =
        frames_to_drop(scores, count).view({scores.size(0), 1, scores.size(1), 1, 1});
    return at::where(dropped, clips.mean({1, 3, 4}, /*keepdim=*/true), clips);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::ScalarType type = context->saved_data["type"].toScalarType();
    return {at::Tensor(), gradients[0].sum({1, 3, 4}).to(type), at::Tensor()};
  }
};

}  // namespace

at::Tensor frames_to_drop(const at::Tensor& scores, int64_t count) {
  TORCH_CHECK(scores.dim() == 2, "scores of frames are [N, T]; received ", scores.sizes());
  TORCH_CHECK(count >= 0 && count <= scores.size(1), "cannot drop ", count, " of ", scores.size(1),
              " frames");
  const at::Tensor order =
      std::get<1>(at::sort(scores.detach(), /*stable=*/true, /*dim=*/1, /*descending=*/false));
  const at::Tensor lowest = order.narrow(1, 0, count);
  return at::zeros(scores.sizes(), scores.options().dtype(at::kBool)).scatter(1, lowest, true);
}

at::Tensor drop_frames(const at::Tensor& clips, const at::Tensor& scores, int64_t count) {
  TORCH_CHECK(clips.dim() == 5 && scores.dim() == 2 && clips.size(0) == scores.size(0) &&
                  clips.size(2) == scores.size(1),
              "drop_frames takes clips [N, C, T, H, W] and scores [N, T]; received ", clips.sizes(),
              " and ", scores.sizes());
  TORCH_CHECK(!(c10::GradMode::is_enabled() && clips.requires_grad()),
              "drop_frames gives clips no gradient; detach them");
  return DropFrames::apply(clips, scores, count);
}

}  // namespace cltrain
