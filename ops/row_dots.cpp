#include "ops/row_dots.h"

#include "ops/simd.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

constexpr int64_t kLanes = 16;  // sums side by side, in a fixed order

template <class A, class B>
[[gnu::always_inline]] inline double dot(const A* a, const B* b, int64_t width) {
  double lanes[kLanes] = {};
  int64_t at = 0;
  for (; at + kLanes <= width; at += kLanes)
#pragma omp simd
    for (int64_t lane = 0; lane < kLanes; ++lane)
      lanes[lane] += static_cast<double>(static_cast<float>(a[at + lane])) *
                     static_cast<double>(static_cast<float>(b[at + lane]));
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  for (; at < width; ++at)
    sum += static_cast<double>(static_cast<float>(a[at])) *
           static_cast<double>(static_cast<float>(b[at]));
  return sum;
}

template <>
[[gnu::always_inline]] inline double dot(const double* a, const double* b, int64_t width) {
  double sum = 0;
  for (int64_t at = 0; at < width; ++at) sum += a[at] * b[at];
  return sum;
}

template <class A, class B>
[[gnu::always_inline]] inline void dots_of(const A* a, const B* b, int64_t rows, int64_t width,
                                           double* out) {
  for (int64_t row = 0; row < rows; ++row) out[row] = dot(a + row * width, b + row * width, width);
}

CLTRAIN_SIMD void dots(const float* a, const float* b, int64_t rows, int64_t width, double* out) {
  dots_of(a, b, rows, width, out);
}
CLTRAIN_SIMD void dots(const double* a, const double* b, int64_t rows, int64_t width, double* out) {
  dots_of(a, b, rows, width, out);
}
CLTRAIN_SIMD void dots(const c10::BFloat16* a, const c10::BFloat16* b, int64_t rows, int64_t width,
                       double* out) {
  dots_of(a, b, rows, width, out);
}
CLTRAIN_SIMD void dots(const c10::BFloat16* a, const float* b, int64_t rows, int64_t width,
                       double* out) {
  dots_of(a, b, rows, width, out);
}

template <class A, class B>
at::Tensor parallel_dots(const at::Tensor& a, const at::Tensor& b) {
  const int64_t rows = a.size(0), width = a.size(1);
  at::Tensor result = at::empty({rows}, a.options().dtype(at::kDouble));
  const A* left = a.const_data_ptr<A>();
  const B* right = b.const_data_ptr<B>();
  auto* out = result.mutable_data_ptr<double>();
  at::parallel_for(0, rows, 1024, [&](int64_t begin, int64_t end) {
    dots(left + begin * width, right + begin * width, end - begin, width, out + begin);
  });
  return result;
}

}  // namespace

at::Tensor row_dots(const at::Tensor& a_given, const at::Tensor& b_given) {
  TORCH_CHECK(a_given.dim() == 2 && a_given.sizes() == b_given.sizes(),
              "row_dots: received shapes ", a_given.sizes(), " and ", b_given.sizes(),
              "; allowed: twice the same [n, D]");
  const at::Tensor a = a_given.detach().contiguous(), b = b_given.detach().contiguous();
  const at::ScalarType left = a.scalar_type(), right = b.scalar_type();
  if (a.is_cpu() && left == at::kFloat && right == at::kFloat)
    return parallel_dots<float, float>(a, b);
  if (a.is_cpu() && left == at::kDouble && right == at::kDouble)
    return parallel_dots<double, double>(a, b);
  if (a.is_cpu() && left == at::kBFloat16 && right == at::kBFloat16)
    return parallel_dots<c10::BFloat16, c10::BFloat16>(a, b);
  if (a.is_cpu() && left == at::kBFloat16 && right == at::kFloat)
    return parallel_dots<c10::BFloat16, float>(a, b);
  return (a.to(at::kDouble) * b.to(at::kDouble)).sum({1});
}

}  // namespace cltrain
