// Forward and backward of one phase of a step, in memory for one chunk of the batch: gradient
// caching, Gao, Zhang, Han and Callan, "Scaling Deep Contrastive Learning Batch Size under Memory
// Limited Setup", arXiv 2101.06983.
//
// The loss needs the embeddings of the whole batch, but the encoder's graph, which is what fills
// the memory, is needed for one chunk (data/sampler.h) at a time:
//   1. Method::encode without graph for chunks 1, 2, ..., then with graph for chunk 0;
//   2. Method::contrast once, over all embeddings as leaves: backward gives dL/d(embedding);
//   3. back through chunk 0; then chunks 1, 2, ... are encoded once more, with graph, and each is
//      back-propagated from its rows of dL/d(embedding).
// By the chain rule the sum of the chunks' gradients is that of one graph over all chunks; nothing
// is approximated. Chunk 0 is last in step 1 so that its graph can be kept: a batch of one chunk is
// encoded once and costs what a plain step costs; of n chunks n - 1 are encoded twice.
//
// The second encoding repeats the first because all randomness is keyed; nothing is saved for it.
// Norms note their statistics in both, and what they noted without graph is discarded: what
// commit_statistics() finds is one note a chunk, in order.
#pragma once

#include "dist/gradient_sum.h"
#include "models/method.h"

namespace cltrain {

/// Collective, on every rank with its rows of `batch`; ranks run the same chunks, empty ones
/// included. Zeroes `gradients`, accumulates into them and arms them for the last backward, so that
/// GradientSum::finish() is what remains. `context.rows` are those of the whole batch. With
/// `autocast` encode and contrast run under bfloat16 autocast; gradients at the embeddings have the
/// embeddings' type. A loss that is not finite is carried through as any other. context.enter hears
/// "forward" and "backward" besides what the method says. The returned share has no graph.
LossShare forward_backward(Method& method, const Phase& phase, const Batch& batch,
                           const StepContext& context, bool autocast, GradientSum& gradients);

}  // namespace cltrain
