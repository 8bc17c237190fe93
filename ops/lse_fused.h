// The fused kernels of the loss engine for Hopper GPUs (sm_90a), with plain pointers: products on
// the tensor cores, kept in registers, never in memory. bfloat16 rows, sums in float32 or wider.
// What they need beyond that: widths that are a multiple of 8, and rows at addresses that are a
// multiple of 16 bytes (the tensor memory accelerator). ops/lse_cuda.cpp calls them.
#pragma once

#include "ops/lse_kernel_tile.h"

namespace cltrain {

inline constexpr int kFusedRows = 128;      ///< of a block; two warpgroups of 64 each
inline constexpr int kFusedColumns = 256;   ///< of a tile of sums or weights
inline constexpr int kFusedPadding = 256;   ///< arrays of factors of columns are padded to this
inline constexpr int kFusedGradient = 256;  ///< widest embedding whose gradient fits in registers

/// bfloat16 bits on the device: anchors [M][width], candidates [K][width].
struct FusedOperands {
  const void *anchors, *candidates;
  int width;
};

/// Sums of rows [splits][M] and, unless null, of columns [M / 64 rounded up][K].
void fused_sums(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                const LseSumParts& parts, void* stream);

/// Weights of the backward pass, bfloat16 [M][stride]. Factors of columns may be null.
struct FusedFactors {
  const LseFactor<float>* rows;     ///< [M]
  const LseFactor<float>* columns;  ///< [K rounded up to kFusedPadding], the rest 0
};
void fused_weights(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                   const FusedFactors& factors, void* weights, int64_t stride, void* stream);

/// Gradient with respect to the anchors, [splits][M][width] float32 to be added up, for widths up
/// to kFusedGradient. Weights stay in registers as the first operand of the second product.
void fused_gradient(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                    const FusedFactors& factors, float* gradient, void* stream);

/// True if the fragments of ops/lse_kernel_tile.h are those of the library that makes the
/// instructions, and if candidates lie in shared memory where the second product of the gradient
/// looks for them. Needs no GPU; a test calls it.
bool fused_layouts_agree();

}  // namespace cltrain
