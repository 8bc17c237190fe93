// Options of monitoring: `metrics.*`. Declared once in describe(); the launcher calls it before MPI
// starts, on every rank, single-threaded. All of them may differ when a run is resumed: they change
// what is seen, never what is computed.
#pragma once

#include "configs/option_table.h"

#include <cstdint>
#include <string>

namespace cltrain {

struct MetricsOptions {
  bool enabled = true;             ///< rank 0 serves Prometheus
  std::string bind = "127.0.0.1";  ///< address to serve on
  int64_t port = 9400;             ///< 0: a free one
  int64_t every = 50;              ///< steps between the measures of similarity and norms
  bool tensorboard = true;         ///< event files in <run.dir>/tensorboard
  bool progress = true;            ///< progress on standard output
  double progress_seconds = 5;     ///< between progress lines when output is not a terminal
};

/// Declares the fields of `options`, which must outlive `table`.
void describe(OptionTable& table, MetricsOptions& options);

}  // namespace cltrain
