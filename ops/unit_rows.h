// Embeddings as losses compare them: rows of unit length.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

namespace cltrain {

/// z [N, D] in `type` (that of the weights, where autocast computed the network in bfloat16), each
/// row divided by its length; rows of length 0 stay 0.
inline at::Tensor unit_rows(const at::Tensor& z, at::ScalarType type) {
  const at::Tensor wide = z.to(type);
  return wide / wide.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
}

inline at::Tensor unit_rows(const at::Tensor& z) {
  return unit_rows(z, z.scalar_type()).contiguous();
}

}  // namespace cltrain
