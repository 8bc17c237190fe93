// The CUDA kernels against their CPU forms. Built with CUDA, registered only where a GPU is.
#ifdef CLTRAIN_CUDA
#include "ops/batch_norm.h"
#include "ops/dropout.h"
#include "tests/support/cuda_case.h"

#include <cstdio>

#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <c10/cuda/CUDAFunctions.h>
#include <torch/types.h>

namespace cltrain {
namespace {

void dropout_draws_the_same_mask() {
  for (const int64_t length : {1, 3, 64, 201}) {
    const at::Tensor x =
        (at::arange(5 * length, at::TensorOptions().dtype(at::kFloat)) + 1).view({5, length});
    const at::Tensor ids = at::arange(100, 105, at::TensorOptions().dtype(at::kLong));
    const PhiloxKey key = random_key(1, Purpose::kDropout, 7);
    const at::Tensor on_cpu = keyed_dropout(x, ids, 0.3, key, 1, 2);
    const at::Tensor on_gpu = keyed_dropout(x.cuda(), ids, 0.3, key, 1, 2);
    EXPECT_TRUE(at::equal(on_cpu, on_gpu.cpu())) << length;
  }
}

void batch_norm_agrees() {
  const at::Tensor x =
      at::arange(4 * 6 * 15, at::TensorOptions().dtype(at::kDouble)).sin().view({4, 6, 3, 5});
  const at::Tensor dy = x.cos();
  const at::Tensor moments = channel_moments(x);
  EXPECT_TRUE(at::allclose(moments, channel_moments(x.cuda()).cpu(), 1e-10, 1e-12));
  const at::Tensor mean = moments.narrow(0, 0, 6).contiguous();
  const at::Tensor inverse = (moments.narrow(0, 6, 6) / 60.0 + 1e-5).rsqrt();
  EXPECT_TRUE(at::allclose(channel_normalize(x, mean, inverse, {}, {}),
                           channel_normalize(x.cuda(), mean.cuda(), inverse.cuda(), {}, {}).cpu(),
                           1e-10));
  const at::Tensor sums = channel_gradient_sums(dy, x, mean, inverse);
  EXPECT_TRUE(at::allclose(
      sums, channel_gradient_sums(dy.cuda(), x.cuda(), mean.cuda(), inverse.cuda()).cpu(), 1e-10));
  EXPECT_TRUE(at::allclose(channel_input_gradient(dy, x, mean, inverse, {}, sums / 60.0),
                           channel_input_gradient(dy.cuda(), x.cuda(), mean.cuda(), inverse.cuda(),
                                                  {}, sums.cuda() / 60.0)
                               .cpu(),
                           1e-9, 1e-12));
}

const bool registered = [] {
  if (c10::cuda::device_count() == 0) {
    std::puts("no GPU: the tests of the CUDA kernels are not registered");
    return false;
  }
  testing::add_cuda_case("Cuda", "DropoutDrawsTheSameMask", dropout_draws_the_same_mask);
  testing::add_cuda_case("Cuda", "BatchNormAgrees", batch_norm_agrees);
  return true;
}();

}  // namespace
}  // namespace cltrain
#endif
