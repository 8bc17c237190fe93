#include "train/spread_state.h"

#include <ATen/core/grad_mode.h>

namespace cltrain {

std::vector<NamedTensor> model_state(const Method& method) {
  std::vector<NamedTensor> all;
  for (const auto& item : method.named_parameters())
    all.emplace_back("model." + item.key(), item.value());
  for (const auto& item : method.named_buffers())
    all.emplace_back("model." + item.key(), item.value());
  return all;
}

void spread_state(const std::vector<NamedTensor>& state, const Communicators& communicators) {
  const c10::NoGradGuard no_grad;
  for (const NamedTensor& item : state) {
    const bool on_device = item.second.device().is_cuda();
    const at::Tensor whole = item.second.detach().contiguous();
    (on_device ? *communicators.gradients : *communicators.control).broadcast(whole);
    if (!whole.is_alias_of(item.second)) item.second.detach().copy_(whole);
  }
}

}  // namespace cltrain
