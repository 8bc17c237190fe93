// Options of the room eval/.
#pragma once

#include "configs/option_table.h"

#include <cstdint>

namespace cltrain {

struct EvalOptions {
  bool enabled = true;
  int64_t every = 0;
  int64_t knn_k = 200;
  double knn_temperature = 0.1;
  bool baselines = false;
  int64_t batch = 256;
};

void describe(OptionTable& table, EvalOptions& options);

}  // namespace cltrain
