#include "bench/ntxent_floor.h"

#include "ops/lse_products.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <type_traits>

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/CPUBlas.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/randn.h>

namespace cltrain::ntxent {
namespace {

namespace blas = at::native::cpublas;

constexpr int64_t kBlock = 256, kDepth = 128;
constexpr double kTrySeconds = 0.05;
constexpr int kTries = 5;

/// Calls of `work(times)` a second, all threads together; each thread does `times` of them in a
/// call.
double calls_per_second(const std::function<void(int64_t times)>& work) {
  const int64_t threads = at::get_num_threads();
  double best = 0;
  int64_t times = 1;
  for (int tries = 0; tries < kTries;) {
    const auto started = std::chrono::steady_clock::now();
    at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) work(times);
    });
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    if (seconds < kTrySeconds) {
      times *= 2;
      continue;
    }
    best = std::max(best, static_cast<double>(threads * times) / seconds);
    ++tries;
  }
  return best;
}

template <class In>
double products(const at::Tensor& numbers) {
  constexpr bool kPairs = std::is_same_v<In, at::BFloat16>;
  const double calls = calls_per_second([&](int64_t times) {
    // Operands of its own for each thread, as in cache as can be.
    const at::Tensor a = numbers.clone(), b = numbers.clone();
    const at::Tensor c = at::empty({kBlock, kBlock}, at::kFloat);
    for (int64_t i = 0; i < times; ++i)
      blas::brgemm(kBlock, kBlock, kDepth, kDepth, kBlock, kBlock, /*add_C=*/false,
                   a.const_data_ptr<In>(), b.const_data_ptr<In>(), c.mutable_data_ptr<float>(),
                   kPairs);
    release_products<In>();
  });
  return calls * 2 * kBlock * kBlock * kDepth;
}

}  // namespace

double products_per_second(bool bfloat16) {
  const at::Tensor numbers = at::randn({kBlock * kDepth});
  if (bfloat16 && has_bfloat16_products()) return products<at::BFloat16>(numbers.to(at::kBFloat16));
  return products<float>(numbers);
}

double exponentials_per_second() {
  const at::Tensor numbers = at::randn({kBlock, kBlock});
  const double calls = calls_per_second([&](int64_t times) {
    const at::Tensor in = numbers.clone();
    at::Tensor out = at::empty_like(in);
    for (int64_t i = 0; i < times; ++i) at::exp_out(out, in);
  });
  return calls * kBlock * kBlock;
}

}  // namespace cltrain::ntxent
