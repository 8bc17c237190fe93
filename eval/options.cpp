#include "eval/options.h"

namespace cltrain {

void describe(OptionTable& table, EvalOptions& options) {
  table.add(
      "eval.enabled", options.enabled,
      {.doc =
           "measure accuracy at the end (and every eval.every steps): of kNN, or of the classifier "
           "of a method that trains one",
       .safe_to_change = true});
  table.add("eval.every", options.every,
            {.doc = "steps between evaluations during training; 0: only at the end",
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
  table.add("eval.batch", options.batch,
            {.doc = "pictures, or clips of videos, a rank embeds at once",
             .unit = "samples",
             .min = 1,
             .safe_to_change = true});
  describe(table, options.probe);
}

void describe(OptionTable& table, ProbeOptions& options) {
  table.add("probe.optimizer", options.optimizer,
            {.doc = "how the linear probe is trained: mini-batches with momentum, or L-BFGS on all "
                    "rows to the optimum",
             .choices = {"sgd", "lbfgs"},
             .safe_to_change = true});
  table.add("probe.normalize", options.normalize,
            {.doc = "l2: rows of unit length; standardize: each feature by mean and deviation of "
                    "the training rows, then by the root of their number",
             .choices = {"standardize", "l2", "none"},
             .safe_to_change = true});
  table.add("probe.epochs", options.epochs,
            {.doc = "passes over the training rows; of lbfgs: iterations at most",
             .unit = "epochs",
             .min = 1,
             .safe_to_change = true});
  table.add("probe.batch", options.batch,
            {.doc = "rows of all ranks in a step of sgd",
             .unit = "samples",
             .min = 1,
             .safe_to_change = true});
  table.add("probe.lr", options.lr,
            {.doc = "learning rate of sgd; suits rows of about unit length, as l2 and standardize "
                    "make them",
             .min = 0,
             .above_min = true,
             .safe_to_change = true});
  table.add("probe.schedule", options.schedule,
            {.doc = "learning rate over the steps: cosine to zero, or constant",
             .choices = {"cosine", "constant"},
             .safe_to_change = true});
  table.add("probe.momentum", options.momentum,
            {.doc = "momentum of sgd", .min = 0, .max = 0.9999, .safe_to_change = true});
  table.add("probe.weight_decay", options.weight_decay,
            {.doc = "half this times the squared weights, without the biases, is added to the mean "
                    "loss",
             .min = 0,
             .safe_to_change = true});
}

}  // namespace cltrain
