// Causal self-attention inside the rows of ops/token_rows.h, with keyed dropout of its weights.
//
//   softmax over A(i) of  <q_i, k_j> / sqrt(head_dim),  dropout,  weighted sum of v_j
//
// A(i) = keys j of the row with j <= i that are items (id not 0). Where that is empty (padding in
// front of the first item) it is all L slots of the row, later ones and padding included: what the
// additive mask -1e4 of SASRec's implementations comes to, which shifts all scores of such a query
// alike (Zhou et al., "S3-Rec", CIKM 2020, released code; Kang and McAuley, "SASRec", ICDM 2018,
// section III). Slots from a row's first item on never see the padding before it, so ragged rows
// give what whole rows give.
//
// Dropout: weight (head, i, j) uses word head * L * L + i * L + j of its sample's stream, i and j
// being slots. Rows are shared out over the intra-op threads; each is computed by one, so their
// number changes no bit. Called on each rank for its own rows. Thread-safe.
#pragma once

#include "ops/token_dropout.h"
#include "ops/token_rows.h"

#include <ATen/core/Tensor.h>

namespace cltrain {

/// qkv [T, 3 d]: queries, keys, values side by side, heads side by side in each; d a multiple of
/// heads -> [T, d] in float32 or float64, that of qkv (half types become float32: weights are not
/// rounded). Differentiable once. On CUDA the padded form below computes it.
at::Tensor ragged_attention(const at::Tensor& qkv, const TokenRows& rows, int64_t heads,
                            const TokenDropout& dropout);

/// The same by LibTorch's operators on padded [B, heads, L, L] scores, on any device.
at::Tensor padded_attention(const at::Tensor& qkv, const TokenRows& rows, int64_t heads,
                            const TokenDropout& dropout);

}  // namespace cltrain
