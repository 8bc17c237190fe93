// Log-sum-exp over the rows of all ranks, with gradients, and how the rows travel for it.
//
//   gather    every rank holds all rows for a while: one all-gather forward. The backward pass
//             moves two numbers a row, no gradient: each rank computes the gradient of the *total*
//             loss with respect to its own rows, because the softmax of every other row follows
//             from that row's LSE.
//   balanced  as gather, but the tiles above the diagonal are dealt out over the ranks: two thirds
//             of the arithmetic, for an all-gather of partial LSEs and a reduce-scatter of
//             gradients.
//   ring      blocks of rows travel round the ranks, once forward and once backward, while tiles
//             are computed: a rank never holds more than three blocks.
// All three give the same values and gradients, to rounding. On one rank nothing travels and all
// three make the same tiles. docs/design.md, section 4, counts operations and bytes.
//
// Collective in forward and in backward: every rank calls, one without rows too, and
// back-propagates a loss that uses the result; the upstream gradient may differ by row and by rank.
// Results, types and precision as in ops/lse.h.
#pragma once

#include "dist/exchange.h"
#include "dist/sharded_queue.h"

namespace cltrain {

/// z [rows[rank], D], scale a scalar tensor -> [rows[rank]] float64: the LSE of this rank's rows
/// over the rows of all ranks, each without itself and without excluded_columns [rows[rank], 1]
/// (global row numbers, symmetric; undefined: none).
at::Tensor global_self_lse(
    const at::Tensor& z, const at::Tensor& scale, const at::Tensor& excluded_columns,
    const GlobalRows& where, const Enter& enter = [](const char*) {});

/// Two views [b, D] of this rank's b images, where.rows = 2b on each rank -> [2b] float64, the
/// first view's anchors first: the LSE as above minus scale <z_i, z_p(i)>, p(i) the other view of
/// the image. Needs no copy of gradients that global_self_lse and a sum of positives would.
at::Tensor global_self_contrast(
    const at::Tensor& view0, const at::Tensor& view1, const at::Tensor& scale,
    const GlobalRows& where, const Enter& enter = [](const char*) {});

/// x, y [rows[rank], D] -> LSEs [rows[rank]] of this rank's x over all y (rows), and of its y over
/// all x (columns); with `minus_positives`, minus scale <x_i, y_i>. kBalanced is refused.
TwoWayLse global_two_way_lse(
    const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale, const GlobalRows& where,
    const Enter& enter = [](const char*) {}, bool minus_positives = false);

/// queries [rows[rank], D] over the keys of all ranks, of which this rank has its own
/// [rows[rank], D] -> [rows[rank]] float64: the LSE minus scale <q_i, k_i>. Keys get no gradient
/// (of a momentum encoder); kGather then needs no exchange backward. kBalanced is refused.
at::Tensor global_key_contrast(
    const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& scale,
    const GlobalRows& where, const Enter& enter = [](const char*) {});

/// Keys of a queue are packed, and faded, so many at a time: a long queue takes no second copy of
/// itself.
inline constexpr int64_t kKeysAtATime = 65536;

/// queries and their keys [rows[rank], D] -> [rows[rank]] float64:
///   log( exp(scale <q_i, k_i>) + sum_j exp(scale t^age(j) <q_i, n_j>) ) - scale <q_i, k_i>
/// over every key n_j of the queue, t = `decay` (VideoMoCo, Pan et al., arXiv 2103.05905, equation
/// 5; 1: MoCo). Keys get no gradient. The queries go to every rank, whatever where.exchange says,
/// and each rank computes the part of its keys: partial LSEs are combined in rank order, gradients
/// with respect to queries summed over the ranks. Memory: the queries of all ranks and one block of
/// keys at a time.
at::Tensor global_queue_contrast(
    const at::Tensor& queries, const at::Tensor& keys, const ShardedQueue& queue,
    const at::Tensor& scale, double decay, const GlobalRows& where,
    const Enter& enter = [](const char*) {});

}  // namespace cltrain
