#include "monitoring/options.h"

namespace cltrain {

void describe(OptionTable& table, MetricsOptions& options) {
  table.add("metrics.enabled", options.enabled,
            {.doc = "rank 0 serves Prometheus metrics over HTTP", .safe_to_change = true});
  table.add("metrics.bind", options.bind,
            {.doc = "address to serve metrics on; 0.0.0.0 shows them to the whole network",
             .safe_to_change = true});
  table.add("metrics.port", options.port,
            {.doc = "port to serve metrics on; 0 picks a free one and prints it",
             .min = 0,
             .max = 65535,
             .safe_to_change = true});
  table.add("metrics.every", options.every,
            {.doc = "steps between the measures of similarity, spread and parameter norm",
             .unit = "steps",
             .min = 1,
             .safe_to_change = true});
  table.add("metrics.tensorboard", options.tensorboard,
            {.doc = "write event files for TensorBoard into <run.dir>/tensorboard",
             .safe_to_change = true});
  table.add("metrics.progress", options.progress,
            {.doc = "print progress while training", .safe_to_change = true});
  table.add("metrics.progress_seconds", options.progress_seconds,
            {.doc = "time between progress lines when the output is not a terminal",
             .unit = "seconds",
             .min = 0,
             .safe_to_change = true});
}

}  // namespace cltrain
