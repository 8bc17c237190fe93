#include "models/nets/momentum.h"

#include <cmath>
#include <numbers>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_lerp.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

namespace cltrain {

void copy_network(torch::nn::Module& source, torch::nn::Module& target) {
  const c10::NoGradGuard no_grad;
  const auto copy = [](const auto& from, const auto& to) {
    TORCH_CHECK(from.size() == to.size(), "a network of ", to.size(),
                " tensors cannot follow one of ", from.size());
    for (const auto& item : from) to[item.key()].copy_(item.value());
  };
  copy(source.named_parameters(), target.named_parameters());
  copy(source.named_buffers(), target.named_buffers());
  for (at::Tensor& parameter : target.parameters()) parameter.requires_grad_(false);
}

void follow(torch::nn::Module& source, torch::nn::Module& target, double momentum) {
  const c10::NoGradGuard no_grad;
  const std::vector<at::Tensor> towards = source.parameters(), moved = target.parameters();
  if (!moved.empty()) at::_foreach_lerp_(moved, towards, 1 - momentum);
}

double momentum_at(double start, const std::string& schedule, int64_t step, int64_t total) {
  if (schedule == "constant") return start;
  TORCH_CHECK(schedule == "cosine" && total > 0, "momentum schedule '", schedule, "' at step ",
              step, " of ", total);
  const double share = static_cast<double>(step) / static_cast<double>(total);
  return 1 - (1 - start) * (1 + std::cos(std::numbers::pi * share)) / 2;
}

}  // namespace cltrain
