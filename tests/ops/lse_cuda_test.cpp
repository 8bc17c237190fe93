// The CUDA path of the loss engine on a GPU, beside LibTorch's operators in float64 on the CPU.
// Built with CUDA, registered only where a GPU is. Problems and expectations are those that
// tests/ops/lse_kernel_test.cpp has for the same code without a GPU.
#ifdef CLTRAIN_CUDA
#include "tests/ops/lse_cases.h"
#include "tests/support/cuda_case.h"

#include <cstdio>

#include <c10/cuda/CUDAFunctions.h>

namespace cltrain {
namespace {

using testing::Bench;
using testing::expect_dense;
using testing::expect_self;
using testing::LseCase;
using testing::masked;
using testing::numbers;

void portable_kernels_are_the_dense_formula() {
  const auto kernels = lse_kernels_here(/*fused=*/false);
  for (const int64_t workspace : {int64_t{400} << 10, kLseWorkspace}) {
    const Bench doubles{*kernels, at::kDouble, 1e-12, 1e-12, workspace, at::kCUDA};
    const Bench floats{*kernels, at::kFloat, 1e-5, 1e-5, workspace, at::kCUDA};
    const Bench halves{*kernels, at::kBFloat16, 1e-5, 1e-2, workspace, at::kCUDA};
    for (const double scale : {5.0, 100.0})
      for (const LseCase& each : masked(530, 1170, 37, scale))
        for (const Bench& bench : {doubles, floats, halves}) expect_dense(each, bench);
    expect_self(701, 24, 20, floats);
  }
}

void fused_kernels_are_the_dense_formula() {
  const auto kernels = lse_kernels_here();
  if (!kernels->has_fused()) GTEST_SKIP() << "this GPU, or this build, has no fused kernels";
  const Bench bench{*kernels, at::kBFloat16, 5e-6, 1e-2, kLseWorkspace, at::kCUDA};
  const Bench tiny{*kernels, at::kBFloat16, 5e-6, 1e-2, 1, at::kCUDA};
  for (const int64_t width : {8, 64, 72, 128, 200, 256, 264, 512, 768})
    for (const double scale : {5.0, 100.0, 300.0}) {
      expect_dense({"plain", 700, 1300, width, scale, {}}, bench);
      expect_dense({"ragged", 131, 257, width, scale, {}}, tiny);
    }
  expect_dense({"several tiles a block", 9000, 4000, 64, 10, {}}, bench);
  expect_dense({"several tiles a block, wide", 5000, 9000, 320, 10, {}}, bench);
  for (const LseCase& each : masked(530, 1170, 128, 20)) expect_dense(each, bench);
  LseCase one_large{"one large row", 300, 600, 64, 24, {}};
  one_large.last_norm = 2;
  expect_dense(one_large, bench);
  LseCase large{"all large", 300, 600, 64, 1.5, {}};
  large.lift = 10;
  expect_dense(large, bench);
  expect_self(1001, 128, 10, bench);
  expect_self(1001, 320, 60, tiny);
}

void fused_kernels_give_the_same_bits_every_time() {
  const auto kernels = lse_kernels_here();
  if (!kernels->has_fused()) GTEST_SKIP() << "this GPU, or this build, has no fused kernels";
  const at::Tensor x = numbers(4000, 128, 0.1).to(at::kBFloat16).cuda();
  const at::Tensor y = numbers(5000, 128, 0.7).to(at::kBFloat16).cuda();
  const LseProblem problem{x, y, 20, {}};
  const TwoWayLse first = lse_forward_by(*kernels, problem, LseDirections::kBoth, false, {});
  const LseAdjoint rows{first.rows, at::ones_like(first.rows)};
  const LseAdjoint columns{first.columns, at::ones_like(first.columns)};
  const LseGradients gradients =
      lse_backward_by(*kernels, problem, rows, columns, true, true, false, {});
  for (int repeat = 0; repeat < 20; ++repeat) {
    const TwoWayLse again = lse_forward_by(*kernels, problem, LseDirections::kBoth, false, {});
    EXPECT_TRUE(again.rows.equal(first.rows) && again.columns.equal(first.columns));
    const LseGradients other =
        lse_backward_by(*kernels, problem, rows, columns, true, true, false, {});
    EXPECT_TRUE(other.anchors.equal(gradients.anchors) &&
                other.candidates.equal(gradients.candidates));
  }
}

void the_option_chooses_them() {
  const at::Tensor z = numbers(300, 64, 0.1).to(at::kFloat).cuda();
  const TwoWayLse ours = lse_forward({z, z, 10, {}, /*cuda_kernels=*/true}, LseDirections::kBoth);
  const TwoWayLse plain = lse_forward({z, z, 10, {}, /*cuda_kernels=*/false}, LseDirections::kBoth);
  EXPECT_TRUE(at::allclose(ours.rows, plain.rows, 1e-5, 1e-5));
  EXPECT_TRUE(at::allclose(ours.columns, plain.columns, 1e-5, 1e-5));
  const at::Tensor self = self_lse_forward(z, 10, {}, {}, /*cuda_kernels=*/true);
  EXPECT_TRUE(at::allclose(self, self_lse_forward(z, 10, {}), 1e-5, 1e-5));
}

const bool registered = [] {
  if (c10::cuda::device_count() == 0) return false;  // tests/ops/cuda_test.cpp says so
  testing::add_cuda_case("LseCuda", "PortableKernelsAreTheDenseFormula",
                         portable_kernels_are_the_dense_formula);
  testing::add_cuda_case("LseCuda", "FusedKernelsAreTheDenseFormula",
                         fused_kernels_are_the_dense_formula);
  testing::add_cuda_case("LseCuda", "FusedKernelsGiveTheSameBitsEveryTime",
                         fused_kernels_give_the_same_bits_every_time);
  testing::add_cuda_case("LseCuda", "TheOptionChoosesThem", the_option_chooses_them);
  return true;
}();

}  // namespace
}  // namespace cltrain
#endif
