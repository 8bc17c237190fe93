// What the contrast over all ranks will need: bytes a rank at its peak and bytes on the wire,
// without running it. Pure arithmetic that follows dist/global_*.cpp and the CPU engine (ops/
// lse_cpu.cpp) allocation by allocation; a test holds it against measured peaks.
#pragma once

#include "dist/contrast.h"

#include <cstdint>

#include <c10/core/ScalarType.h>

namespace cltrain {

/// Two sets of embeddings of `batch` rows each (two views; or the two sides of CLIP).
struct LossShape {
  int64_t batch = 0;  ///< global
  int64_t width = 0;
  int ranks = 1;
  int threads = 1;                         ///< a rank
  at::ScalarType embeddings = at::kFloat;  ///< what the network gives
};

/// Bytes on the rank with most rows, beside the embeddings it is given.
struct LossPlan {
  int64_t rows = 0;       ///< held through forward and backward: own rows and those of others
  int64_t packed = 0;     ///< copies in the layouts of the products
  int64_t gradients = 0;  ///< with respect to the embeddings
  int64_t tiles = 0;      ///< one a thread
  int64_t sums = 0;       ///< vectors with an entry a row
  int64_t received_forward = 0, received_backward = 0;  ///< on the wire

  int64_t peak() const { return rows + packed + gradients + tiles + sums; }
  /// Of two losses of one step, whose rows are held until both have gone backward. Tiles are not.
  LossPlan operator+(const LossPlan& other) const;
};

/// Of global_nt_xent.
LossPlan plan_nt_xent(const LossShape& shape, const ContrastSettings& settings);
/// Of global_clip.
LossPlan plan_clip(const LossShape& shape, const ContrastSettings& settings);
/// Of global_info_nce.
LossPlan plan_info_nce(const LossShape& shape, const ContrastSettings& settings);
/// Of global_queue_info_nce with a queue of `keys` over all ranks, which is not counted; `fading`:
/// with decay. loss.exchange changes nothing.
LossPlan plan_queue_info_nce(const LossShape& shape, const ContrastSettings& settings, int64_t keys,
                             bool fading);

}  // namespace cltrain
