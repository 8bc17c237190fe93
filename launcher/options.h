// All options of the program: the structs of every room, gathered into one table.
#pragma once

#include "configs/option_table.h"
#include "data/options.h"
#include "dist/options.h"
#include "eval/options.h"
#include "models/options.h"
#include "monitoring/options.h"
#include "train/options.h"

namespace cltrain {

struct Options {
  TrainOptions train;
  MethodOptions method;
  DataOptions data;
  AugmentOptions augment;
  EvalOptions eval;
  DistOptions dist;
  MetricsOptions metrics;
};

/// Every option, in the order in which --help and the start-up print show them.
void describe(OptionTable& table, Options& options);

/// Mistakes that no single option can show (sizes against the number of ranks, pairs out of order).
/// One sentence each; empty when all is well.
std::vector<std::string> problems(const Options& options, int ranks);

}  // namespace cltrain
