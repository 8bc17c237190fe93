// The gradient with respect to anchors of up to 256 columns: 4 M K D operations, the tile of
// products once more, then its weights, which are the first operand of a second product in the
// registers where they were made, times the candidates that are in shared memory already.
//
// The accumulator is 64 x D floats a warpgroup, 128 of a thread's 232 registers at D = 256. Wider
// embeddings could take one slice of columns after another and make the tile again for each: at
// D = 768, (3 + 1) 2 M K D for each side. Weights in memory (ops/lse_fused_tiles.cu) and plain
// products take (1 + 2) 2 M K D for both sides and 6 bytes of traffic a pair, and are used there.
#include "ops/lse_fused.cuh"

namespace cltrain {
namespace {

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

// --- what a test asks without a GPU ---

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

/// The view of candidates as columns shows the same bytes.
template <int kWidth, int kTile>
bool views_agree() {
  using Shapes = GradientShapes<kWidth, kTile>;
  const typename Shapes::B rows;
  const typename Shapes::TransposedB columns;
  bool agrees = true;
  for (int stage = 0; stage < kStages; ++stage)
    for (int row = 0; row < kTile; ++row)
      for (int column = 0; column < kWidth; ++column)
        agrees &= rows(row, column, stage) == columns(column, row, stage);
  return agrees;
}

}  // namespace

void fused_gradient(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                    const FusedFactors& factors, float* gradient, void* stream) {
  if (operands.width <= 64)
    launch_gradient<64, 128>(operands, problem, splits, factors, gradient, stream);
  else if (operands.width <= 128)
    launch_gradient<128, 128>(operands, problem, splits, factors, gradient, stream);
  else
    launch_gradient<256, 64>(operands, problem, splits, factors, gradient, stream);
}

bool fused_layouts_agree() {
  return fragment_agrees<kFusedColumns,
                         SM90_64x256x16_F32BF16BF16_SS<GMMA::Major::K, GMMA::Major::K>>() &&
         fragment_agrees<128, SM90_64x128x16_F32BF16BF16_SS<GMMA::Major::K, GMMA::Major::K>>() &&
         fragment_agrees<64, SM90_64x64x16_F32BF16BF16_SS<GMMA::Major::K, GMMA::Major::K>>() &&
         operand_agrees<128, SM90_64x128x16_F32BF16BF16_RS<GMMA::Major::K, GMMA::Major::MN>>() &&
         operand_agrees<64, SM90_64x256x16_F32BF16BF16_RS<GMMA::Major::K, GMMA::Major::MN>>() &&
         views_agree<64, 128>() && views_agree<128, 128>() && views_agree<256, 64>();
}

}  // namespace cltrain
