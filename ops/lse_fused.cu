// The kernels of ops/lse_fused.h, on CuTe: TMA brings tiles of rows into shared memory through a
// ring of stages that one thread of a producer warpgroup fills; two warpgroups multiply them by
// wgmma (64 rows each) and work on the products in their registers (ops/lse_kernel_tile.h).
//
// Products of 2 M K D operations: sums 1, weights 1, gradient 2 (the tile once more, then weights
// times candidates). The gradient's accumulator is 64 x D floats a warpgroup, which registers hold
// up to D = 256: 128 of a thread's 232 at that width. Wider embeddings take fused_weights and two
// plain products instead of one column slice after another with the tile made again for each
// (D = 768: 3 + 1 products of 2 M K D for each side): 1 + 2 products for both sides, for 6 bytes of
// traffic a pair.
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

// --- tiles of products, made slice by slice: sums and weights
// -------------------------------------

using SumsA = Stages<kFusedRows, kDepth, kStages>;
using SumsB = Stages<kFusedColumns, kDepth, kStages>;
using SumsMma =
    decltype(make_tiled_mma(SM90_64x256x16_F32BF16BF16_SS<GMMA::Major::K, GMMA::Major::K>{},
                            Layout<Shape<Int<kGroups>, _1, _1>>{}));

struct SumsStorage {
  alignas(1024) Element a[cosize_v<SumsA>];
  alignas(1024) Element b[cosize_v<SumsB>];
  alignas(16) LseSum<float> columns[kGroups][4 * kFusedColumns];
  alignas(16) typename Pipeline::SharedStorage pipeline;
};

/// What a kernel does with a tile: the sums of a forward pass, or weights that go to memory.
struct SumsWork {
  LseSumParts parts;
  static constexpr bool kWeights = false;
};
struct WeightsWork {
  FusedFactors factors;
  uint16_t* weights;
  int64_t stride;
  static constexpr bool kWeights = true;
};

template <class Work>
struct TilesArguments {
  CopyOf<kFusedRows, kDepth> copy_a;
  CopyOf<kFusedColumns, kDepth> copy_b;
  LseTileProblem problem;
  int width;
  Work work;
};

__device__ LseSpan column_tiles(const LseTileProblem& problem, int columns_of_tile) {
  return span_of(blockIdx.y, gridDim.y,
                 static_cast<int>(parts_of(problem.columns, columns_of_tile)));
}

/// One thread: slices of the block's rows and of tile after tile of columns, as stages fall free.
template <class Work>
__device__ void bring_slices(const TilesArguments<Work>& arguments, SumsStorage& storage,
                             Pipeline& pipeline) {
  const int slices = static_cast<int>(parts_of(arguments.width, kDepth));
  const Tensor a = make_tensor(make_smem_ptr(storage.a), SumsA{});
  const Tensor b = make_tensor(make_smem_ptr(storage.b), SumsB{});
  const Tensor all_a =
      arguments.copy_a.get_tma_tensor(make_shape(arguments.problem.rows, arguments.width));
  const Tensor all_b =
      arguments.copy_b.get_tma_tensor(make_shape(arguments.problem.columns, arguments.width));
  auto from_a = arguments.copy_a.get_slice(_0{});
  auto from_b = arguments.copy_b.get_slice(_0{});
  const Tensor a_rows = from_a.partition_S(local_tile(
      all_a, Shape<Int<kFusedRows>, Int<kDepth>>{}, make_coord(blockIdx.x, _)));  // (TMA,M,K,slice)
  const Tensor b_rows = from_b.partition_S(local_tile(
      all_b, Shape<Int<kFusedColumns>, Int<kDepth>>{}, make_coord(_, _)));  // (TMA,N,K,tile,slice)
  const Tensor a_stages = from_a.partition_D(a);
  const Tensor b_stages = from_b.partition_D(b);
  auto write = cutlass::make_producer_start_state<Pipeline>();
  const LseSpan tiles = column_tiles(arguments.problem, kFusedColumns);
  for (int tile = tiles.begin; tile < tiles.end; ++tile)
    for (int slice = 0; slice < slices; ++slice, ++write) {
      pipeline.producer_acquire(write);
      auto* barrier = pipeline.producer_get_barrier(write);
      copy(arguments.copy_a.with(*barrier), a_rows(_, _, _, slice),
           a_stages(_, _, _, write.index()));
      copy(arguments.copy_b.with(*barrier), b_rows(_, _, _, tile, slice),
           b_stages(_, _, _, write.index()));
    }
}

/// A consumer's products of one tile, [64 of 128][256] floats in its registers.
template <class A, class B, class C>
__device__ __forceinline__ void tile_of_products(SumsMma& mma, const A& a, const B& b, C& products,
                                                 int slices, Pipeline& pipeline,
                                                 typename Pipeline::PipelineState& read) {
  auto done = read;
  for (int slice = 0; slice < slices; ++slice, ++read) {
    pipeline.consumer_wait(read);
    multiply(mma, a(_, _, _, read.index()), b(_, _, _, read.index()), products, slice == 0);
    if (slice == 0) continue;
    warpgroup_wait<1>();  // the slice before is multiplied: its stage may be filled again
    pipeline.consumer_release(done);
    ++done;
  }
  warpgroup_wait<0>();
  warpgroup_fence_operand(products);
  pipeline.consumer_release(done);
}

template <class Work>
__device__ __forceinline__ void work_on_tiles(const TilesArguments<Work>& arguments,
                                              SumsStorage& storage, Pipeline& pipeline,
                                              int group_index) {
  const LseTileProblem& problem = arguments.problem;
  const Warpgroup group{group_index, storage.columns[group_index]};
  SumsMma mma;
  auto part = mma.get_slice(group_index * kGroup);
  const Tensor a = part.partition_fragment_A(make_tensor(make_smem_ptr(storage.a), SumsA{}));
  const Tensor b = part.partition_fragment_B(make_tensor(make_smem_ptr(storage.b), SumsB{}));
  Tensor products = partition_fragment_C(mma, Shape<Int<kFusedRows>, Int<kFusedColumns>>{});
  static_assert(size(products) == Fragment<kFusedColumns>::kValues);
  const int first_row = blockIdx.x * kFusedRows + group_index * 64;
  const int slices = static_cast<int>(parts_of(arguments.width, kDepth));
  const LseSpan tiles = column_tiles(problem, kFusedColumns);
  typename Pipeline::PipelineState read;
  if constexpr (Work::kWeights) {
    const WeightsWork& work = arguments.work;
    WeighTiles<kFusedColumns, Warpgroup> weigh(group, problem, work.factors.rows,
                                               work.factors.columns != nullptr, first_row);
    for (int tile = tiles.begin; tile < tiles.end; ++tile) {
      const int first_column = tile * kFusedColumns;
      tile_of_products(mma, a, b, products, slices, pipeline, read);
      weigh.tile(products.data(), first_column, work.factors.columns + first_column);
      store_weights<kFusedColumns>(group, problem, products.data(), first_row, first_column,
                                   work.weights, work.stride);
    }
  } else {
    SumTiles<kFusedColumns, Warpgroup> sums(group, problem, arguments.work.parts, first_row,
                                            blockIdx.y);
    for (int tile = tiles.begin; tile < tiles.end; ++tile) {
      tile_of_products(mma, a, b, products, slices, pipeline, read);
      sums.tile(products.data(), tile * kFusedColumns);
    }
    sums.finish();
  }
}

extern __shared__ __align__(1024) unsigned char shared_bytes[];

/// Blocks: (row block, part of the columns).
template <class Work>
__global__ void __launch_bounds__(kThreads, 1)
    tiles_kernel(const __grid_constant__ TilesArguments<Work> arguments) {
#if defined(CUTE_ARCH_TMA_SM90_ENABLED)
  auto& storage = *reinterpret_cast<SumsStorage*>(shared_bytes);
  const int warpgroup = cutlass::canonical_warp_group_idx();
  constexpr uint32_t kBytes = (kFusedRows + kFusedColumns) * kDepth * sizeof(Element);
  Pipeline pipeline = open_pipeline(storage.pipeline, warpgroup, kBytes);
  __syncthreads();
  if (warpgroup == 0) {
    cutlass::arch::warpgroup_reg_dealloc<kProducerRegisters>();
    if (threadIdx.x == 0) bring_slices(arguments, storage, pipeline);
  } else {
    cutlass::arch::warpgroup_reg_alloc<kConsumerRegisters>();
    work_on_tiles(arguments, storage, pipeline, warpgroup - 1);
  }
#endif
}

// --- the gradient of anchors of up to 256 columns
// ------------------------------------------------

/// kWidth: columns of the embeddings, rounded up; kTile: candidates of a tile.
template <int kWidth, int kTile>
struct GradientShapes {
  using A = Stages<kFusedRows, kWidth, 1>;
  using B = Stages<kTile, kWidth, kStages>;
  /// The candidates once more, [width][candidates]: another view of the same bytes.
  using TransposedB =
      decltype(composition(B{}, make_layout(Shape<Int<kWidth>, Int<kTile>, Int<kStages>>{},
                                            Stride<Int<kTile>, _1, Int<kTile * kWidth>>{})));
  using ProductsMma = decltype(make_tiled_mma(
      GMMA::ss_op_selector<Element, Element, float, Shape<_64, Int<kTile>, _16>>(),
      Layout<Shape<Int<kGroups>, _1, _1>>{}));
  using GradientMma = decltype(make_tiled_mma(
      GMMA::rs_op_selector<Element, Element, float, Shape<_64, Int<kWidth>, _16>, GMMA::Major::K,
                           GMMA::Major::MN>(),
      Layout<Shape<Int<kGroups>, _1, _1>>{}));
  struct Storage {
    alignas(1024) Element a[cosize_v<A>];
    alignas(1024) Element b[cosize_v<B>];
    alignas(128) LseFactor<float> factors[kStages][kTile];
    alignas(16) typename Pipeline::SharedStorage pipeline;
    alignas(16) cutlass::arch::ClusterTransactionBarrier rows_barrier;
  };
};

template <int kWidth, int kTile>
struct GradientArguments {
  CopyOf<kFusedRows, kWidth> copy_a;
  CopyOf<kTile, kWidth> copy_b;
  LseTileProblem problem;
  int width;
  FusedFactors factors;
  float* gradient;
};

/// One thread: the block's rows once, then tile after tile of candidates with their factors.
template <int kWidth, int kTile>
__device__ void bring_candidates(const GradientArguments<kWidth, kTile>& arguments,
                                 typename GradientShapes<kWidth, kTile>::Storage& storage,
                                 Pipeline& pipeline) {
  using Shapes = GradientShapes<kWidth, kTile>;
  const Tensor a = make_tensor(make_smem_ptr(storage.a), typename Shapes::A{});
  const Tensor b = make_tensor(make_smem_ptr(storage.b), typename Shapes::B{});
  const Tensor all_a =
      arguments.copy_a.get_tma_tensor(make_shape(arguments.problem.rows, arguments.width));
  const Tensor all_b =
      arguments.copy_b.get_tma_tensor(make_shape(arguments.problem.columns, arguments.width));
  auto from_a = arguments.copy_a.get_slice(_0{});
  auto from_b = arguments.copy_b.get_slice(_0{});
  const Tensor a_rows = from_a.partition_S(
      local_tile(all_a, Shape<Int<kFusedRows>, Int<kWidth>>{}, make_coord(blockIdx.x, _0{})));
  const Tensor b_rows =
      from_b.partition_S(local_tile(all_b, Shape<Int<kTile>, Int<kWidth>>{}, make_coord(_, _0{})));
  const Tensor a_stage = from_a.partition_D(a);
  const Tensor b_stages = from_b.partition_D(b);

  storage.rows_barrier.arrive_and_expect_tx(kFusedRows * kWidth * sizeof(Element));
  copy(arguments.copy_a.with(*reinterpret_cast<uint64_t*>(&storage.rows_barrier)), a_rows(_, _, _),
       a_stage(_, _, _, 0));
  auto write = cutlass::make_producer_start_state<Pipeline>();
  const LseSpan tiles = column_tiles(arguments.problem, kTile);
  for (int tile = tiles.begin; tile < tiles.end; ++tile, ++write) {
    pipeline.producer_acquire(write);
    auto* barrier = pipeline.producer_get_barrier(write);
    copy(arguments.copy_b.with(*barrier), b_rows(_, _, _, tile), b_stages(_, _, _, write.index()));
    if (arguments.factors.columns)
      SM90_BULK_COPY_G2S::copy(arguments.factors.columns + int64_t{tile} * kTile,
                               reinterpret_cast<uint64_t*>(barrier), storage.factors[write.index()],
                               kTile * sizeof(LseFactor<float>));
  }
}

template <int kWidth, int kTile>
__device__ __forceinline__ void sum_gradient(
    const GradientArguments<kWidth, kTile>& arguments,
    typename GradientShapes<kWidth, kTile>::Storage& storage, Pipeline& pipeline, int group_index) {
  using Shapes = GradientShapes<kWidth, kTile>;
  const LseTileProblem& problem = arguments.problem;
  const Warpgroup group{group_index, nullptr};
  typename Shapes::ProductsMma products_mma;
  typename Shapes::GradientMma gradient_mma;
  auto products_part = products_mma.get_slice(group_index * kGroup);
  auto gradient_part = gradient_mma.get_slice(group_index * kGroup);
  const Tensor a = products_part.partition_fragment_A(
      make_tensor(make_smem_ptr(storage.a), typename Shapes::A{}));
  const Tensor b = products_part.partition_fragment_B(
      make_tensor(make_smem_ptr(storage.b), typename Shapes::B{}));
  const Tensor transposed = gradient_part.partition_fragment_B(
      make_tensor(make_smem_ptr(storage.b), typename Shapes::TransposedB{}));
  Tensor products = partition_fragment_C(products_mma, Shape<Int<kFusedRows>, Int<kTile>>{});
  Tensor gradient = partition_fragment_C(gradient_mma, Shape<Int<kFusedRows>, Int<kWidth>>{});
  // The accumulator fragment of 16 columns is the fragment of a first operand of depth 16.
  Tensor weights = make_tensor<Element>(Layout<Shape<Shape<_2, _2, _2>, _1, Int<kTile / 16>>>{});
  static_assert(size(products) == Fragment<kTile>::kValues && size(weights) == size(products));
  static_assert(size(gradient) == Fragment<kWidth>::kValues);
  static_assert(size<2>(weights) == size<2>(transposed));

  const int first_row = blockIdx.x * kFusedRows + group_index * 64;
  WeighTiles<kTile, Warpgroup> weigh(group, problem, arguments.factors.rows,
                                     arguments.factors.columns != nullptr, first_row);
  typename Pipeline::PipelineState read;
  const LseSpan tiles = column_tiles(problem, kTile);
  clear(gradient);
  storage.rows_barrier.wait(0);
  for (int tile = tiles.begin; tile < tiles.end; ++tile, ++read) {
    pipeline.consumer_wait(read);
    multiply(products_mma, a(_, _, _, 0), b(_, _, _, read.index()), products, true);
    warpgroup_wait<0>();
    warpgroup_fence_operand(products);
    weigh.tile(products.data(), tile * kTile, storage.factors[read.index()]);
    CUTE_UNROLL
    for (int v = 0; v < size(products); ++v) weights(v) = Element(products(v));
    warpgroup_fence_operand(weights);
    multiply(gradient_mma, weights, transposed(_, _, _, read.index()), gradient, false);
    warpgroup_wait<0>();
    warpgroup_fence_operand(gradient);
    pipeline.consumer_release(read);
  }
  store_sums<kWidth>(group, problem, gradient.data(), first_row, arguments.width,
                     arguments.gradient + int64_t{blockIdx.y} * problem.rows * arguments.width);
}

/// Blocks: (row block, part of the columns).
template <int kWidth, int kTile>
__global__ void __launch_bounds__(kThreads, 1)
    gradient_kernel(const __grid_constant__ GradientArguments<kWidth, kTile> arguments) {
#if defined(CUTE_ARCH_TMA_SM90_ENABLED)
  using Storage = typename GradientShapes<kWidth, kTile>::Storage;
  auto& storage = *reinterpret_cast<Storage*>(shared_bytes);
  const int warpgroup = cutlass::canonical_warp_group_idx();
  const uint32_t bytes = kTile * kWidth * sizeof(Element) +
                         (arguments.factors.columns ? kTile * sizeof(LseFactor<float>) : 0);
  if (threadIdx.x == 0) storage.rows_barrier.init(1);
  Pipeline pipeline = open_pipeline(storage.pipeline, warpgroup, bytes);  // fences both inits
  __syncthreads();
  if (warpgroup == 0) {
    cutlass::arch::warpgroup_reg_dealloc<kProducerRegisters>();
    if (threadIdx.x == 0) bring_candidates<kWidth, kTile>(arguments, storage, pipeline);
  } else {
    cutlass::arch::warpgroup_reg_alloc<kConsumerRegisters>();
    sum_gradient<kWidth, kTile>(arguments, storage, pipeline, warpgroup - 1);
  }
#endif
}

// --- launches
// ------------------------------------------------------------------------------------

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

template <class Work>
void launch_tiles(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                  const Work& work, void* stream) {
  const TilesArguments<Work> arguments{
      copy_of<kFusedRows, kDepth>(operands.anchors, problem.rows, operands.width),
      copy_of<kFusedColumns, kDepth>(operands.candidates, problem.columns, operands.width), problem,
      operands.width, work};
  launch(tiles_kernel<Work>, arguments, splits, sizeof(SumsStorage), stream);
}

template <int kWidth, int kTile>
void launch_gradient(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                     const FusedFactors& factors, float* gradient, void* stream) {
  const GradientArguments<kWidth, kTile> arguments{
      copy_of<kFusedRows, kWidth>(operands.anchors, problem.rows, operands.width),
      copy_of<kTile, kWidth>(operands.candidates, problem.columns, operands.width),
      problem,
      operands.width,
      factors,
      gradient};
  launch(gradient_kernel<kWidth, kTile>, arguments, splits,
         sizeof(typename GradientShapes<kWidth, kTile>::Storage), stream);
}

template <int kColumns, class Atom>
bool fragment_agrees() {
  using F = Fragment<kColumns>;
  const typename MMA_Traits<Atom>::CLayout layout;  // (thread, value) -> row + 64 column
  bool agrees = true;
  for (int thread = 0; thread < kGroup; ++thread)
    for (int c = 0; c < F::kEach; ++c)
      for (int half = 0; half < 2; ++half)
        agrees &= static_cast<int>(layout(thread, F::value(half, c))) ==
                  F::row(thread, half) + 64 * F::column(thread, c);
  return agrees;
}

/// The fragment of weights that a product takes from registers, as sum_gradient fills it.
template <int kTile, class Atom>
bool operand_agrees() {
  using F = Fragment<kTile>;
  const typename MMA_Traits<Atom>::ALayout layout;  // (thread, value) -> row + 64 depth
  bool agrees = true;
  for (int thread = 0; thread < kGroup; ++thread)
    for (int c = 0; c < F::kEach; ++c)
      for (int half = 0; half < 2; ++half) {
        const int value = F::value(half, c), step = value / 8;
        agrees &= static_cast<int>(layout(thread, value % 8)) ==
                  F::row(thread, half) + 64 * (F::column(thread, c) - 16 * step);
      }
  return agrees;
}

}  // namespace

void fused_sums(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                const LseSumParts& parts, void* stream) {
  launch_tiles(operands, problem, splits, SumsWork{parts}, stream);
}

void fused_weights(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                   const FusedFactors& factors, void* weights, int64_t stride, void* stream) {
  launch_tiles(operands, problem, splits,
               WeightsWork{factors, static_cast<uint16_t*>(weights), stride}, stream);
}

void fused_gradient(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                    const FusedFactors& factors, float* gradient, void* stream) {
  if (operands.width <= 64)
    launch_gradient<64, 128>(operands, problem, splits, factors, gradient, stream);
  else if (operands.width <= 128)
    launch_gradient<128, 128>(operands, problem, splits, factors, gradient, stream);
  else
    launch_gradient<256, 64>(operands, problem, splits, factors, gradient, stream);
}

bool fused_fragments_agree() {
  return fragment_agrees<kFusedColumns,
                         SM90_64x256x16_F32BF16BF16_SS<GMMA::Major::K, GMMA::Major::K>>() &&
         fragment_agrees<128, SM90_64x128x16_F32BF16BF16_SS<GMMA::Major::K, GMMA::Major::K>>() &&
         fragment_agrees<64, SM90_64x64x16_F32BF16BF16_SS<GMMA::Major::K, GMMA::Major::K>>() &&
         operand_agrees<128, SM90_64x128x16_F32BF16BF16_RS<GMMA::Major::K, GMMA::Major::MN>>() &&
         operand_agrees<64, SM90_64x256x16_F32BF16BF16_RS<GMMA::Major::K, GMMA::Major::MN>>();
}

}  // namespace cltrain
