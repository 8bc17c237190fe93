// How ops/token_blocks_*.cpp go through tokens: chunks, which threads share out, of tiles, which
// stay in a core's cache. The cut depends on the number of tokens alone, and a chunk sums its
// gradients of weights by itself, so the number of threads changes no bit.
#pragma once

#include "ops/tile_product.h"
#include "ops/token_block_kernel.h"

#include <algorithm>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

namespace cltrain {

inline constexpr int64_t kTokenTile = 64;

struct TokenCut {
  int64_t tokens, chunks, chunk_tokens;
};

inline TokenCut cut_tokens(int64_t tokens) {
  constexpr int64_t kMostChunks = 16, kFewestTokens = 256;
  const int64_t wanted = std::clamp<int64_t>(tokens / kFewestTokens, 1, kMostChunks);
  const int64_t tiles = (tokens + kTokenTile - 1) / kTokenTile;
  const int64_t chunk_tiles = std::max<int64_t>(1, (tiles + wanted - 1) / wanted);
  return {tokens, std::max<int64_t>(1, (tiles + chunk_tiles - 1) / chunk_tiles),
          chunk_tiles * kTokenTile};
}

/// A tile's tokens [begin, begin + count), the chunk it belongs to, and memory that it may use.
template <class Real>
struct TokenTile {
  int64_t begin, count, chunk;
  Real* scratch;
  uint8_t* keep;
};

/// visit(tile) with tiles of a chunk in order; scratch has `numbers` for each token and
/// `keep_bytes`.
template <class Real, class Visit>
void for_each_tile(const TokenCut& cut, int64_t numbers, int64_t keep_bytes, Visit&& visit) {
  at::parallel_for(0, cut.chunks, 1, [&](int64_t first, int64_t last) {
    std::vector<Real> scratch(numbers * kTokenTile);
    std::vector<uint8_t> keep(keep_bytes * kTokenTile);
    for (int64_t chunk = first; chunk < last; ++chunk) {
      const int64_t end = std::min((chunk + 1) * cut.chunk_tokens, cut.tokens);
      for (int64_t begin = chunk * cut.chunk_tokens; begin < end; begin += kTokenTile)
        visit(TokenTile<Real>{begin, std::min(kTokenTile, end - begin), chunk, scratch.data(),
                              keep.data()});
    }
    release_tile_products();
  });
}

/// sum [out * in] += dy^T x over a tile, for x [.][in] and dy [.][out]: the gradient of a weight
/// [out][in]. The narrower side is transposed for the product (scratch: that many numbers a token),
/// so that the sum is [in][out] where in < out; weight_sum() turns it.
template <class Real>
void add_weight_gradient(int64_t count, int64_t in, int64_t out, const Real* x, const Real* dy,
                         Real* scratch, Real* sum) {
  if (in < out) {
    transpose(count, in, x, scratch);
    multiply_tile(TileProduct<Real>{in, out, count, scratch, count, dy, out, sum, out, true});
  } else {
    transpose(count, out, dy, scratch);
    multiply_tile(TileProduct<Real>{out, in, count, scratch, count, x, in, sum, in, true});
  }
}
inline at::Tensor weight_sum(const at::Tensor& sum, int64_t in, int64_t out) {
  return in < out ? sum.view({in, out}).t().contiguous() : sum.view({out, in}).clone();
}

}  // namespace cltrain
