// Options of the room train/: the run, its length, the optimiser and the checkpoints.
#pragma once

#include "configs/option_table.h"

#include <cstdint>
#include <string>
#include <vector>

namespace cltrain {

struct RunOptions {
  std::string dir = "";  ///< the launcher's default: runs/<config stem>
  int64_t seed = 1;
  std::string dtype = "float32";
  std::string autocast = "none";
  bool tf32 = false;
};

struct LengthOptions {
  int64_t epochs = 100;
  int64_t steps = 0;
  int64_t global_batch = 256;
  int64_t micro_batch = 0;
  int64_t max_skipped_steps = 0;
  int64_t patience = 0;
};

struct OptimOptions {
  std::string name = "lars";
  double lr = 0.3;
  std::string scaling = "linear";
  std::string schedule = "cosine";
  std::vector<double> milestones = {120, 160};
  double step_factor = 0.1;
  double warmup_epochs = 10;
  double weight_decay = 1e-4;
  double momentum = 0.9;
  bool nesterov = false;
  bool decay_all = false;
  double lars_eta = 0.001;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
};

struct CheckpointOptions {
  int64_t every = 500;
  int64_t keep = 2;
  int64_t max_failures = 5;
};

struct TrainOptions {
  RunOptions run;
  LengthOptions train;
  OptimOptions optim;
  CheckpointOptions checkpoint;
};

void describe(OptionTable& table, TrainOptions& options);

}  // namespace cltrain
