// What a step will need on each rank and on the wire, before it is run on the ranks it is meant
// for: `cltrain plan`. The network's memory is measured here, on a few random samples; everything
// else is arithmetic.
#pragma once

#include "data/batch.h"
#include "data/options.h"
#include "data/row_maker.h"
#include "dist/loss_plan.h"
#include "models/method.h"
#include "models/options.h"
#include "train/options.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace cltrain {

/// Samples like those of the run, to measure on.
struct PlanSamples {
  std::function<Batch(int64_t rows)> batch;  ///< of a rank alone, in the network's type
  std::vector<RowField> fields;              ///< what the loader prepares
  int64_t few = 2;  ///< so many are measured, and twice as many; more where samples differ in size
};
/// Random pictures or clips.
PlanSamples random_views(const DataOptions& data, const AugmentOptions& augment, int64_t views,
                         at::ScalarType type);

struct StepPlan {
  int64_t chunks = 1;      ///< of a global batch
  int64_t chunk_rows = 0;  ///< samples of a chunk on the rank with most
  int64_t rows = 0;        ///< samples of the whole batch on it
  int64_t parameters = 0, gradients = 0, optimizer = 0;  ///< bytes
  int64_t activations = 0;                               ///< bytes at the peak of a chunk
  int64_t activations_per_sample = 0;                    ///< all its views
  int64_t samples = 0;     ///< bytes of prepared samples, with those ahead of the step
  int64_t embeddings = 0;  ///< bytes of the whole batch's embeddings and their gradients
  int64_t followers = 0;  ///< bytes of parameters that are not trained: a key encoder, a complement
  int64_t queue = 0;      ///< bytes of this rank's part of a queue
  LossShape loss_shape;
  LossPlan loss;
  int64_t received_gradients = 0;  ///< bytes of the sum of gradients on the wire

  int64_t total() const {
    return parameters + gradients + optimizer + activations + samples + embeddings + followers +
           queue + loss.peak();
  }
};

/// `method` is built (models/registry.h), in the type of run.dtype, on the CPU of this process
/// alone. Runs it forward and backward on some samples; leaves its gradients undefined. `prefetch`:
/// batches that the loader prepares ahead.
StepPlan plan_step(Method& method, const MethodOptions& model, const TrainOptions& train,
                   const PlanSamples& samples, int64_t prefetch, int ranks, int threads,
                   const Communicators& alone);

}  // namespace cltrain
