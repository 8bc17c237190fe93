// What a step will need on each rank and on the wire, before it is run on the ranks it is meant
// for: `cltrain plan`. The network's memory is measured here, on a few random samples; everything
// else is arithmetic.
#pragma once

#include "data/options.h"
#include "dist/loss_plan.h"
#include "models/method.h"
#include "models/options.h"
#include "train/options.h"

#include <cstdint>

namespace cltrain {

struct StepPlan {
  int64_t chunks = 1;      ///< of a global batch
  int64_t chunk_rows = 0;  ///< samples of a chunk on the rank with most
  int64_t rows = 0;        ///< samples of the whole batch on it
  int64_t parameters = 0, gradients = 0, optimizer = 0;  ///< bytes
  int64_t activations = 0;                               ///< bytes at the peak of a chunk
  int64_t activations_per_image = 0;                     ///< all its views
  int64_t views = 0;       ///< bytes of prepared views, with those ahead of the step
  int64_t embeddings = 0;  ///< bytes of the whole batch's embeddings and their gradients
  int64_t followers = 0;   ///< bytes of parameters that are not trained: a key encoder
  int64_t queue = 0;       ///< bytes of this rank's part of a queue
  LossShape loss_shape;
  LossPlan loss;
  int64_t received_gradients = 0;  ///< bytes of the sum of gradients on the wire

  int64_t total() const {
    return parameters + gradients + optimizer + activations + views + embeddings + followers +
           queue + loss.peak();
  }
};

/// `method` is built (models/registry.h), in the type of run.dtype, on the CPU of this process
/// alone. Runs it forward and backward on 2 and 4 random samples; leaves its gradients undefined.
StepPlan plan_step(Method& method, const MethodOptions& model, const TrainOptions& train,
                   const DataOptions& data, const AugmentOptions& augment, int ranks, int threads,
                   const Communicators& alone);

}  // namespace cltrain
