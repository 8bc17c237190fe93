// Keyed dropout: the mask is a pure function of (key, sample id, view, site, element), so it does
// not depend on rank count, micro-batches or threads, and a second forward of the same samples
// repeats it with nothing saved; the backward pass draws it again.
//
// Element e of a sample's row uses word e of its stream (ops/keyed_random.h) and is dropped where
// uniform24(word) < probability; kept values are multiplied by 1 / (1 - probability). CPU and CUDA
// draw the same mask. Thread-safe.
#pragma once

#include "ops/keyed_random.h"

#include <ATen/core/Tensor.h>

namespace cltrain {

/// x [B, ...] -> the same shape; sample_ids [B] int64 on the CPU or x's device; probability in
/// [0, 1) (0 returns x). Differentiable in x.
at::Tensor keyed_dropout(const at::Tensor& x, const at::Tensor& sample_ids, double probability,
                         PhiloxKey key, uint32_t view, uint32_t site);

}  // namespace cltrain
