// Keyed dropout of tokens (ops/token_rows.h): the mask of ops/dropout.h over the padded row, of
// which a ragged row draws its part. Element (slot, channel) of a sample's row uses word
// slot * channels + channel of its stream, so a token keeps its mask in ragged and whole rows, in
// any batch, on any rank. Pure, thread-safe.
#pragma once

#include "ops/dropout_kernel.h"
#include "ops/token_rows.h"

#include <ATen/core/Tensor.h>

namespace cltrain {

/// One dropout of a network in one pass.
struct TokenDropout {
  double probability = 0;  ///< in [0, 1); 0: nothing is drawn, and the rest is not read
  PhiloxKey key{};
  at::Tensor sample_ids;  ///< [B] int64
  uint32_t view = 0;      ///< below 16
  uint32_t site = 0;      ///< below 4096

  double scale() const { return 1 / (1 - probability); }
};

/// Throws unless `dropout` fits `rows`.
void check_dropout(const TokenDropout& dropout, const TokenRows& rows);

/// x [T, C] -> the same shape, differentiable in x. CUDA: float32 only.
at::Tensor token_dropout(const at::Tensor& x, const TokenRows& rows, const TokenDropout& dropout);

/// keep [end - begin][channels] = 1 or 0, of tokens [begin, end); CPU rows, checked dropout with
/// probability > 0 and sample_ids contiguous on the CPU.
void token_keep(const TokenRows& rows, const TokenDropout& dropout, int64_t channels, int64_t begin,
                int64_t end, uint8_t* keep);

}  // namespace cltrain
