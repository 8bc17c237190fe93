// Times of the loss engine on a GPU: both directions of CLIP's loss, forward and backward, by
// LibTorch's operators (ops/lse_chunked.cpp) and by the kernels of ops/lse_cuda.h, bfloat16 rows.
//   build/bin/lse_cuda [largest rows, default 65536]
// A line a problem and a way: median milliseconds of five runs, and operations a second counted as
// 8 M K D (four products), whatever a way computes twice.
#include "ops/lse_cuda.h"

#include "ops/lse_chunked.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/ones_like.h>
#include <c10/cuda/CUDAFunctions.h>

namespace cltrain {
namespace {

/// Rows of length 1 that look random; zeros would run faster than data do.
at::Tensor rows_of(int64_t rows, int64_t width, double phase) {
  const at::Tensor at_each =
      at::arange(rows * width, at::TensorOptions(at::kCUDA).dtype(at::kDouble));
  const at::Tensor x = ((at_each * 12.9898 + phase).sin() * 43758.5453).frac().view({rows, width});
  return (x / x.norm(2, {1}, true)).to(at::kBFloat16);
}

float median_milliseconds(const std::function<void()>& work) {
  work();
  std::vector<float> times;
  for (int run = 0; run < 5; ++run) {
    at::cuda::CUDAEvent begin(cudaEventDefault), end(cudaEventDefault);
    begin.record();
    work();
    end.record();
    end.synchronize();
    times.push_back(begin.elapsed_time(end));
  }
  std::nth_element(times.begin(), times.begin() + 2, times.end());
  return times[2];
}

void print(const char* way, int64_t rows, int64_t width, const std::function<void()>& work) {
  const float ms = median_milliseconds(work);
  const double operations = 8.0 * static_cast<double>(rows * rows) * static_cast<double>(width);
  std::printf("%-9s %7lld x %7lld x %4lld  %9.3f ms  %7.1f TFLOP/s\n", way,
              static_cast<long long>(rows), static_cast<long long>(rows),
              static_cast<long long>(width), ms, operations / ms * 1e-9);
}

void measure(int64_t rows, int64_t width) {
  const LseProblem problem{rows_of(rows, width, 0.1), rows_of(rows, width, 0.7), 20, {}};
  const auto by = [&](LseKernels& kernels) {
    const TwoWayLse lse = lse_forward_by(kernels, problem, LseDirections::kBoth, false, {});
    const at::Tensor up = at::ones_like(lse.rows);
    lse_backward_by(kernels, problem, {lse.rows, up}, {lse.columns, up}, true, true, false, {});
  };
  print("LibTorch", rows, width, [&] {
    const TwoWayLse lse = lse_forward_chunked(problem, LseDirections::kBoth);
    const at::Tensor up = at::ones_like(lse.rows);
    lse_backward_chunked(problem, {lse.rows, up}, {lse.columns, up}, true, true);
  });
  const auto portable = lse_kernels_here(/*fused=*/false), fused = lse_kernels_here();
  print("portable", rows, width, [&] { by(*portable); });
  if (fused->has_fused()) print("fused", rows, width, [&] { by(*fused); });
}

}  // namespace
}  // namespace cltrain

int main(int count, char** arguments) {
  const int64_t largest = count > 1 ? std::atoll(arguments[1]) : 65536;
  if (c10::cuda::device_count() == 0 || largest < 1) {
    std::fputs("lse_cuda [largest rows]: needs a GPU\n", stderr);
    return 1;
  }
  for (int64_t rows = 8192; rows <= largest; rows *= 2)
    for (const int64_t width : {128, 256, 512, 768}) cltrain::measure(rows, width);
  return 0;
}
