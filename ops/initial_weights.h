// Keyed initial weights: a parameter's values are a pure function of (seed, its name, its shape).
// Drawn in double on the CPU and rounded to the parameter's type, so they do not depend on device,
// ranks, or the order in which modules are made. In place, without autograd.
#pragma once

#include <cstdint>
#include <string_view>

#include <ATen/core/Tensor.h>

namespace cltrain {

/// N(0, deviation^2).
void fill_normal(at::Tensor parameter, double deviation, uint64_t seed, std::string_view name);
/// U(-bound, bound).
void fill_uniform(at::Tensor parameter, double bound, uint64_t seed, std::string_view name);

}  // namespace cltrain
