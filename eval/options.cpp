#include "eval/options.h"

namespace cltrain {

void describe(OptionTable& table, EvalOptions& options) {
  table.add("eval.enabled", options.enabled,
            {.doc = "measure at the end (and every eval.every steps): accuracy of kNN, or of the "
                    "classifier of a method that trains one; ranking of a recommender",
             .safe_to_change = true});
  table.add("eval.every", options.every,
            {.doc = "steps between evaluations during training; 0: only at the end",
             .unit = "steps",
             .min = 0,
             .safe_to_change = true});
  table.add("eval.every_epochs", options.every_epochs,
            {.doc = "the same in epochs", .unit = "epochs", .min = 0, .safe_to_change = true});
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
            {.doc = "pictures, clips of videos, or users a rank embeds at once",
             .unit = "samples",
             .min = 1,
             .safe_to_change = true});
  table.add(
      "eval.history", options.history,
      {.doc = "recommenders: what a user has seen scores 0 as in SRMA's code, is excluded, or "
              "is kept as a candidate like others",
       .choices = {"zero", "exclude", "keep"},
       .safe_to_change = true});
  table.add(
      "eval.candidates", options.candidates,
      {.doc = "recommenders: rank among the items, or among all ids, padding and the reserved "
              "one included, as SRMA's code does",
       .choices = {"all_ids", "items"},
       .safe_to_change = true});
  table.add("eval.sampled", options.sampled,
            {.doc = "recommenders: rank among so many drawn items alone, which flatters: such "
                    "figures are labelled and compare with nothing else; 0: among all",
             .unit = "items",
             .min = 0,
             .safe_to_change = true});
  table.add("eval.sampled_by", options.sampled_by,
            {.doc = "how these are drawn: all alike, or by how often they occur in training",
             .choices = {"uniform", "popularity"},
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
