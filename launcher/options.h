// All options of the program: the structs of every room, gathered into one table.
#pragma once

#include "configs/option_table.h"
#include "data/dataset.h"
#include "data/options.h"
#include "data/registry.h"
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

/// The options with their table. `run` is the default of run.dir below runs/.
struct DescribedOptions {
  explicit DescribedOptions(const std::string& run = "<config>");
  DescribedOptions(const DescribedOptions&) = delete;
  DescribedOptions& operator=(const DescribedOptions&) = delete;

  Options options;
  OptionTable table;  ///< every option, in the order in which --help and the start-up print show
};

/// What the run's samples are: data.name's kind, but a click-through model takes a file of
/// sequences as clicks.
DataKind data_kind(const Options& options);

/// What the data gives the encoder, as far as options say it: input_of() (launcher/run_data.h) adds
/// what the opened data know.
InputShape input_shape(const Options& options);

/// Mistakes that no single option can show (sizes against the number of ranks, pairs out of order).
/// One sentence each; empty when all is well.
std::vector<std::string> problems(const Options& options, int ranks);
/// Throws ConfigError with all of problems(), if there are any.
void refuse_problems(const Options& options, int ranks);

}  // namespace cltrain
