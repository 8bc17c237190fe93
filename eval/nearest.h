// The k nearest rows of a base by inner product, exactly: on the CPU by fused tiles, on any device
// by products and top-k of torch, and by faiss, which the tests hold them against.
//
// One rank, no communication; searches may run at once from several threads. All three give the
// same neighbours up to the rounding of a product: ordered by similarity, equal ones by position.
// TiledBase and nearest_by_topk keep that rule at the k-th place too; faiss keeps any of those that
// tie there. A similarity that is not a number is no neighbour. Throws c10::Error for shapes that
// do not fit.
#pragma once

#include "eval/packed_rows.h"

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace cltrain {

/// Of q queries: [q, k], best first; where there are fewer than k, -inf and -1.
struct Neighbours {
  at::Tensor similarity;  ///< float32
  at::Tensor position;    ///< int64, row of the base
};

/// A base in the memory order of the search, a copy: [n, D] float32 on the CPU. At most 2^31 rows.
class TiledBase {
 public:
  explicit TiledBase(const at::Tensor& base);
  /// queries [q, D] float32 on the CPU. Uses the intra-op threads; their number changes no bit, nor
  /// does the number of queries in a call. Scratch memory: 16 k bytes a query of the call.
  Neighbours search(const at::Tensor& queries, int64_t k) const;
  int64_t rows() const { return rows_.rows(); }

 private:
  PackedRows rows_;
};

/// base [n, D], queries [q, D] float32 on one device; the result lies there. Holds no more than
/// about `chunk` x `chunk` similarities at once. TF32 and autocast are off meanwhile.
Neighbours nearest_by_topk(const at::Tensor& base, const at::Tensor& queries, int64_t k,
                           int64_t chunk = 8192);

/// faiss::IndexFlatIP of base [n, D]; both float32 on the CPU.
Neighbours nearest_by_faiss(const at::Tensor& base, const at::Tensor& queries, int64_t k);

}  // namespace cltrain
