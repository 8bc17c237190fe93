#include "eval/options.h"

namespace cltrain {

void describe(OptionTable& table, EvalOptions& options) {
  table.add("eval.enabled", options.enabled,
            {.doc = "measure kNN accuracy at the end (and every eval.every steps)",
             .safe_to_change = true});
  table.add("eval.every", options.every,
            {.doc = "steps between kNN evaluations during training; 0: only at the end",
             .unit = "steps",
             .min = 0,
             .safe_to_change = true});
  table.add("eval.knn_k", options.knn_k,
            {.doc = "neighbours that vote", .min = 1, .max = 10000, .safe_to_change = true});
  table.add("eval.knn_temperature", options.knn_temperature,
            {.doc = "a neighbour votes with exp(cosine / temperature)",
             .min = 0,
             .above_min = true,
             .safe_to_change = true});
  table.add("eval.baselines", options.baselines,
            {.doc = "before training, measure raw pixels and the untrained encoder too",
             .safe_to_change = true});
  table.add(
      "eval.batch", options.batch,
      {.doc = "images a rank embeds at once", .unit = "samples", .min = 1, .safe_to_change = true});
}

}  // namespace cltrain
