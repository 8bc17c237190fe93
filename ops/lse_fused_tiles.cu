// Sums, and weights that go to memory: a tile's products are made slice by slice of the embeddings'
// width, so that any width will do. 2 M K D operations each.
#include "ops/lse_fused.cuh"

namespace cltrain {
namespace {

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

template <class Work>
void launch_tiles(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                  const Work& work, void* stream) {
  const TilesArguments<Work> arguments{
      copy_of<kFusedRows, kDepth>(operands.anchors, problem.rows, operands.width),
      copy_of<kFusedColumns, kDepth>(operands.candidates, problem.columns, operands.width), problem,
      operands.width, work};
  launch(tiles_kernel<Work>, arguments, splits, sizeof(SumsStorage), stream);
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

}  // namespace cltrain
