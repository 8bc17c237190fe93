// Options of the room eval/: `eval.*` says what is measured and when, `probe.*` how the linear
// probe is trained.
#pragma once

#include "configs/option_table.h"

#include <cstdint>
#include <string>

namespace cltrain {

struct ProbeOptions {
  std::string optimizer = "sgd";          ///< sgd or lbfgs
  std::string normalize = "standardize";  ///< none, l2 or standardize
  int64_t epochs = 100;
  int64_t batch = 256;
  double lr = 10;
  std::string schedule = "cosine";  ///< cosine or constant
  double momentum = 0.9;
  double weight_decay = 1e-6;
};

struct EvalOptions {
  bool enabled = true;
  int64_t every = 0;
  int64_t every_epochs = 0;
  int64_t knn_k = 200;
  double knn_temperature = 0.1;
  bool baselines = false;
  int64_t batch = 256;
  std::string history = "zero";
  std::string candidates = "all_ids";
  int64_t sampled = 0;
  std::string sampled_by = "uniform";
  ProbeOptions probe;
};

/// Both sections.
void describe(OptionTable& table, EvalOptions& options);
void describe(OptionTable& table, ProbeOptions& options);

}  // namespace cltrain
