// What a run says of itself before its first step, once, on rank 0.
#pragma once

#include "data/registry.h"
#include "dist/world.h"
#include "launcher/options.h"
#include "models/method.h"

#include <map>
#include <string>

namespace cltrain {

/// Ranks, devices, threads, data, batch, negatives, parameters, run directory.
std::string start_up_text(const Options& options, const World& world, const SampleSet& samples,
                          const std::string& data_note, const Method& method,
                          int64_t steps_per_epoch, int64_t total_steps);

/// What two sessions must share to be bit-identical; kept in checkpoints, differences are printed.
std::map<std::string, std::string> environment_of(const World& world);

/// Float32 products in TF32 only where asked for; deterministic algorithms on CUDA.
void set_numerics(const RunOptions& options);

}  // namespace cltrain
