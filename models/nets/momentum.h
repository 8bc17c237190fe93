// Networks that follow others: the key encoders of MoCo (He et al., arXiv 1911.05722, section 3.2).
// In place, without autograd; every rank does the same to the same weights.
#pragma once

#include <cstdint>
#include <string>

#include <torch/nn/module.h>

namespace cltrain {

/// Parameters and buffers of `target` become those of `source`, which has the same names; the
/// parameters of `target` ask for no gradient from then on.
void copy_network(torch::nn::Module& source, torch::nn::Module& target);

/// Every parameter of `target` becomes momentum * itself + (1 - momentum) * that of `source`.
/// Buffers stay: batch norm keeps the statistics of what passes through the target itself.
void follow(torch::nn::Module& source, torch::nn::Module& target, double momentum);

/// The momentum at `step` of `total`: `schedule` "constant", or "cosine": rising from `start` to 1,
/// 1 - (1 - start) (1 + cos(pi step / total)) / 2.
double momentum_at(double start, const std::string& schedule, int64_t step, int64_t total);

}  // namespace cltrain
