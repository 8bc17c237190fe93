// What the kernels of ops/lse_fused.h are made of, on CuTe: TMA brings tiles of rows into shared
// memory through a ring of stages that one thread of a producer warpgroup fills; two warpgroups
// multiply them by wgmma (64 rows each) and work on the products in their registers
// (ops/lse_kernel_tile.h). For ops/lse_fused_*.cu, each of which has a copy.
#pragma once

#include "ops/lse_fused.h"

#include <cute/tensor.hpp>
#include <cutlass/pipeline/pipeline.hpp>
#include <stdexcept>
#include <string>

#include <cuda_runtime.h>
#include <cutlass/arch/barrier.h>
#include <cutlass/arch/reg_reconfig.h>
#include <cutlass/numeric_types.h>

namespace cltrain {
namespace {

using namespace cute;  // NOLINT: the library is written to be used so
using Element = cutlass::bfloat16_t;

constexpr int kGroups = 2, kGroup = 128;  // consumer warpgroups, and threads of one
constexpr int kThreads = (kGroups + 1) * kGroup;
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;
constexpr int kStages = 4;
constexpr int kDepth = 64;  // elements of a slice of rows: 128 bytes, the widest swizzle

/// [rows][width] of each stage, both operands with the width contiguous, swizzled by 128 bytes.
template <int kRows, int kWidth, int kCount>
using Stages = decltype(tile_to_shape(GMMA::Layout_K_SW128_Atom<Element>{},
                                      Shape<Int<kRows>, Int<kWidth>, Int<kCount>>{}));
template <int kRows, int kWidth>
using OneStage = decltype(Stages<kRows, kWidth, 1>{}(_, _, 0));

/// A matrix of rows in memory, as the copy engine sees it: outside of it are zeros.
auto rows_tensor(const void* rows, int count, int width) {
  return make_tensor(make_gmem_ptr(static_cast<const Element*>(rows)), make_shape(count, width),
                     make_stride(int64_t{width}, _1{}));
}
template <int kRows, int kWidth>
auto copy_of(const void* rows, int count, int width) {
  return make_tma_copy(SM90_TMA_LOAD{}, rows_tensor(rows, count, width), OneStage<kRows, kWidth>{},
                       Shape<Int<kRows>, Int<kWidth>>{}, _1{});
}
template <int kRows, int kWidth>
using CopyOf = decltype(copy_of<kRows, kWidth>(nullptr, 0, 0));

/// The 128 threads of a warpgroup (ops/lse_kernel_tile.h).
struct Warpgroup {
  int index;  // among the consumers
  LseSum<float>* shared;

  __device__ __forceinline__ int thread() const { return threadIdx.x % kGroup; }
  template <class T>
  __device__ __forceinline__ T exchange(T value, int mask) const {
    return __shfl_xor_sync(0xffffffffu, value, mask);
  }
  // Barrier 0 is __syncthreads(); the library keeps 1 to 7.
  __device__ __forceinline__ void sync() const {
    asm volatile("bar.sync %0, 128;" ::"r"(8 + index) : "memory");
  }
  __device__ __forceinline__ LseSum<float>* columns() const { return shared; }
};

using Pipeline = cutlass::PipelineTmaAsync<kStages>;

/// The ring of stages as this thread uses it. All threads of the block call.
__device__ Pipeline open_pipeline(Pipeline::SharedStorage& storage, int warpgroup, uint32_t bytes) {
  typename Pipeline::Params parameters;
  parameters.transaction_bytes = bytes;
  parameters.role =
      warpgroup == 0 ? Pipeline::ThreadCategory::Producer : Pipeline::ThreadCategory::Consumer;
  parameters.is_leader = threadIdx.x == 0;
  parameters.num_consumers = kGroups * kGroup;
  return Pipeline(storage, parameters, Shape<_1, _1, _1>{});
}

/// Issues the slices of a product whose operands lie in shared memory (A perhaps in registers).
template <class Mma, class A, class B, class C>
__device__ __forceinline__ void multiply(Mma& mma, const A& a, const B& b, C& c, bool from_zero) {
  warpgroup_fence_operand(c);
  warpgroup_arrive();
  if (from_zero) mma.accumulate_ = GMMA::ScaleOut::Zero;
  CUTE_UNROLL
  for (int k = 0; k < size<2>(a); ++k) {
    cute::gemm(mma, a(_, _, k), b(_, _, k), c);
    mma.accumulate_ = GMMA::ScaleOut::One;
  }
  warpgroup_commit_batch();
  warpgroup_fence_operand(c);
}

/// Tiles of columns of this block: grids are (row block, part of the columns).
__device__ LseSpan column_tiles(const LseTileProblem& problem, int columns_of_tile) {
  return span_of(blockIdx.y, gridDim.y,
                 static_cast<int>(parts_of(problem.columns, columns_of_tile)));
}

extern __shared__ __align__(1024) unsigned char shared_bytes[];

template <class Kernel, class Arguments>
void launch(Kernel kernel, const Arguments& arguments, int splits, size_t bytes, void* stream) {
  const auto check = [](cudaError_t error, const char* what) {
    if (error != cudaSuccess)
      throw std::runtime_error(std::string("fused kernels of the loss: ") + what + ": " +
                               cudaGetErrorString(error));
  };
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(bytes)),
        "shared memory");
  const dim3 grid(static_cast<unsigned>(parts_of(arguments.problem.rows, kFusedRows)),
                  static_cast<unsigned>(splits));
  kernel<<<grid, kThreads, bytes, static_cast<cudaStream_t>(stream)>>>(arguments);
  check(cudaGetLastError(), "launch");
}

}  // namespace
}  // namespace cltrain
