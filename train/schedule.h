// Learning rate and run length as pure functions of the step: nothing to save, nothing to restore.
// Sources: Goyal et al., arXiv 1706.02677 (linear scaling, warm-up); Chen et al., arXiv 2002.05709,
// appendix B.1 (square-root scaling, cosine to zero).
#pragma once

#include "train/options.h"

#include <cstdint>

namespace cltrain {

/// The learning rate at its peak: lr, lr * B / 256 or lr * sqrt(B).
double peak_learning_rate(const OptimOptions& options, int64_t global_batch);

/// Steps of the whole run: train.steps if set, else train.epochs * steps_per_epoch.
int64_t total_steps(const LengthOptions& options, int64_t steps_per_epoch);

/// The learning rate of step `step` (0 .. total-1): peak * (step + 1) / warmup during the warm-up,
/// then constant; or times step_factor from each milestone on; or peak * (1 + cos(pi * t)) / 2 with
/// t from 0 towards 1 over the rest.
double learning_rate(const OptimOptions& options, double peak, int64_t step, int64_t total,
                     int64_t steps_per_epoch);

}  // namespace cltrain
