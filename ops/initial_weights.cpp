#include "ops/initial_weights.h"

#include "ops/keyed_random.h"

#include <cmath>
#include <numbers>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

namespace cltrain {
namespace {

// value(i, word0, word1) of element i, from words 2i and 2i + 1 of the parameter's stream.
template <class Value>
void fill(at::Tensor& parameter, uint64_t seed, std::string_view name, Value&& value) {
  const PhiloxKey key = random_key(seed, Purpose::kInitialWeights, 0);
  const uint64_t id = name_id(name);
  at::Tensor drawn = at::empty(parameter.sizes(), at::kDouble);
  auto* out = drawn.mutable_data_ptr<double>();
  at::parallel_for(0, drawn.numel(), 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const PhiloxBlock block =
          philox4x32_10(random_counter(id, 0, 0, static_cast<uint64_t>(i / 2)), key);
      out[i] = value(uniform24(block.word[2 * (i % 2)]), uniform24(block.word[2 * (i % 2) + 1]));
    }
  });
  const c10::NoGradGuard no_grad;
  parameter.copy_(drawn);
}

}  // namespace

void fill_normal(at::Tensor parameter, double deviation, uint64_t seed, std::string_view name) {
  fill(parameter, seed, name, [deviation](double u, double v) {
    return deviation * std::sqrt(-2.0 * std::log(1.0 - u)) * std::cos(2.0 * std::numbers::pi * v);
  });
}

void fill_uniform(at::Tensor parameter, double bound, uint64_t seed, std::string_view name) {
  fill(parameter, seed, name, [bound](double u, double) { return bound * (2 * u - 1); });
}

}  // namespace cltrain
