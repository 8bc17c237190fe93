#include "dist/loss_plan.h"

#include "dist/global_lse.h"
#include "ops/lse_tile.h"

#include <algorithm>

namespace cltrain {
namespace {

/// Sizes of one element: as the network gives it, as it travels and is multiplied, as products sum.
struct Bytes {
  int64_t given, computed, summed;
  bool pairs;  // bfloat16: operands in pairs, another packed copy

  Bytes(const LossShape& shape, const ContrastSettings& settings)
      : given(static_cast<int64_t>(c10::elementSize(shape.embeddings))),
        computed(settings.bfloat16 ? 2 : given),
        summed(shape.embeddings == at::kDouble ? 8 : 4),
        pairs(computed == 2) {}
};

int64_t largest_share(int64_t rows, int ranks) {
  return (rows + ranks - 1) / ranks;
}

/// Blocks of other ranks that are here at a time in a ring: one worked on, one under way.
int64_t travelling(int ranks) {
  return std::min(2, ranks - 1);
}

/// Whole blocks, as transposed operands are packed.
int64_t in_blocks(int64_t rows) {
  const Blocks blocks(rows);
  return blocks.blocks() * blocks.size;
}

// The tile of logits with its transposed weights, and for bfloat16 the weights beside the logits.
int64_t tiles_of(const LossShape& shape, const Bytes& bytes) {
  const int64_t elements = kTileRows * kTileColumns;
  const int64_t weights = bytes.pairs ? 2 * elements * 2 : elements * bytes.computed;
  return shape.threads * (elements * bytes.summed + weights);
}

/// Operands of a product against `candidates` rows: float64 needs none (the BLAS transposes).
int64_t packed_of(int64_t candidates, int64_t width, const Bytes& bytes) {
  if (bytes.computed == 8) return 0;
  return in_blocks(candidates) * width * bytes.computed +
         (bytes.pairs ? candidates * width * 2 : 0);
}

}  // namespace

LossPlan LossPlan::operator+(const LossPlan& other) const {
  return {.rows = rows + other.rows,
          .packed = packed + other.packed,
          .gradients = gradients + other.gradients,
          .tiles = std::max(tiles, other.tiles),
          .sums = sums + other.sums,
          .received_forward = received_forward + other.received_forward,
          .received_backward = received_backward + other.received_backward};
}

LossPlan plan_nt_xent(const LossShape& shape, const ContrastSettings& settings) {
  const Bytes bytes(shape, settings);
  const int64_t own = 2 * largest_share(shape.batch, shape.ranks), all = 2 * shape.batch;
  const int64_t others = all - own;
  const bool alone = shape.ranks == 1;
  const bool ring = settings.exchange == Exchange::kRing || alone;
  const bool balanced = settings.exchange == Exchange::kBalanced && !alone;
  LossPlan plan;
  // Both views joined.
  plan.rows = own * shape.width * bytes.computed;
  if (!ring) plan.rows += all * shape.width * bytes.computed;
  // A block travels while another is worked on; this rank's own was counted.
  if (ring) plan.rows += travelling(shape.ranks) * own * shape.width * bytes.computed;
  plan.packed = packed_of(ring ? own : all, shape.width, bytes);
  plan.gradients = own * shape.width * bytes.summed;
  if (balanced) {
    // Tiles give the gradient of all rows; then it is reduced through a copy.
    const int64_t whole = all * shape.width * bytes.summed;
    plan.gradients = whole + std::max<int64_t>(0, whole + plan.gradients - plan.packed);
  }
  plan.tiles = tiles_of(shape, bytes);
  // Table of LSEs and gradients of all rows, and the part of it that a block needs.
  plan.sums = all * 16 + (ring ? own : all) * 16 + own * 40;
  const int64_t element = shape.width * bytes.computed;
  plan.received_forward = others * element;
  if (balanced) plan.received_forward += (shape.ranks - 1) * all * 8;
  plan.received_backward = others * 16;
  if (balanced) plan.received_backward += own * (shape.ranks - 1) * shape.width * bytes.summed;
  if (ring && !alone) plan.received_backward += others * element;
  return plan;
}

LossPlan plan_clip(const LossShape& shape, const ContrastSettings& settings) {
  refuse_balanced(settings.exchange);
  const Bytes bytes(shape, settings);
  const int64_t own = largest_share(shape.batch, shape.ranks), all = shape.batch;
  const bool alone = shape.ranks == 1;
  const bool ring = settings.exchange == Exchange::kRing || alone;
  LossPlan plan;
  // Both sides rounded; without that they are the given ones.
  if (bytes.pairs && bytes.given != 2) plan.rows = 2 * own * shape.width * bytes.computed;
  if (!ring) plan.rows += 2 * all * shape.width * bytes.computed;
  if (ring) plan.rows += travelling(shape.ranks) * own * shape.width * bytes.computed;
  plan.packed = packed_of(ring ? own : all, shape.width, bytes);
  // One rank has both gradients from one pass, in which the anchors are terms too.
  if (alone && bytes.pairs) plan.packed += own * shape.width * 2;
  plan.gradients = 2 * own * shape.width * bytes.summed;
  plan.tiles = tiles_of(shape, bytes);
  plan.sums = all * 32 + (ring ? own : all) * 16 + own * 40;
  const int64_t others = all - own, element = shape.width * bytes.computed;
  plan.received_forward = (ring ? 1 : 2) * others * element + (shape.ranks - 1) * all * 8;
  plan.received_backward = others * 32 + (ring && !alone ? 2 * others * element : 0);
  return plan;
}

LossPlan plan_info_nce(const LossShape& shape, const ContrastSettings& settings) {
  refuse_balanced(settings.exchange);
  const Bytes bytes(shape, settings);
  const int64_t own = largest_share(shape.batch, shape.ranks), all = shape.batch;
  const bool alone = shape.ranks == 1;
  const bool ring = settings.exchange == Exchange::kRing || alone;
  const int64_t element = shape.width * bytes.computed, others = all - own;
  LossPlan plan;
  if (bytes.pairs && bytes.given != 2) plan.rows = 2 * own * element;  // both sides rounded
  plan.rows += ring ? travelling(shape.ranks) * own * element : all * element;
  plan.packed = packed_of(ring ? own : all, shape.width, bytes);
  plan.gradients = own * shape.width * bytes.summed;
  plan.tiles = tiles_of(shape, bytes);
  plan.sums = own * 48;
  plan.received_forward = others * element;
  plan.received_backward = ring && !alone ? others * element : 0;
  return plan;
}

LossPlan plan_queue_info_nce(const LossShape& shape, const ContrastSettings& settings, int64_t keys,
                             bool fading) {
  const Bytes bytes(shape, settings);
  const int64_t own = largest_share(shape.batch, shape.ranks), all = shape.batch;
  const int64_t block = std::min(largest_share(keys, shape.ranks), kKeysAtATime);
  const int64_t element = shape.width * bytes.computed, others = all - own;
  LossPlan plan;
  if (bytes.pairs && bytes.given != 2)
    plan.rows = own * element + block * element;  // queries and keys, rounded
  if (shape.ranks > 1) plan.rows += all * element;
  if (fading) plan.rows += block * shape.width * bytes.given;
  plan.packed = packed_of(block, shape.width, bytes);
  // Of all queries over this rank's keys; then this rank's part of the sum over ranks.
  plan.gradients = all * shape.width * bytes.summed;
  if (shape.ranks > 1) plan.gradients += own * shape.width * bytes.summed;
  plan.tiles = tiles_of(shape, bytes);
  plan.sums = all * 32 + own * 48 + (fading ? block * 16 : 0);
  plan.received_forward = others * element + (shape.ranks - 1) * all * 8;
  plan.received_backward = others * 16 + own * (shape.ranks - 1) * shape.width * bytes.summed;
  return plan;
}

}  // namespace cltrain
