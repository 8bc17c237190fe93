#include "train/options.h"

namespace cltrain {
namespace {

void describe_run(OptionTable& table, RunOptions& run) {
  table.add("run.dir", run.dir,
            {.doc = "folder of this run; default runs/<config stem>", .safe_to_change = true});
  table.add("run.seed", run.seed,
            {.doc = "seed of every random number: order, views, weights", .min = 0});
  table.add("run.dtype", run.dtype,
            {.doc = "type of weights, gradients and loss", .choices = {"float32", "float64"}});
  table.add("run.autocast", run.autocast,
            {.doc = "compute convolutions and linear layers in a shorter type",
             .choices = {"none", "bfloat16"}});
  table.add("run.tf32", run.tf32, {.doc = "let CUDA round float32 products to TF32"});
}

void describe_length(OptionTable& table, LengthOptions& train) {
  table.add(
      "train.epochs", train.epochs,
      {.doc = "passes over the training data", .unit = "epochs", .min = 1, .safe_to_change = true});
  table.add("train.steps", train.steps,
            {.doc = "steps in all; 0 takes train.epochs",
             .unit = "steps",
             .min = 0,
             .safe_to_change = true});
  table.add(
      "train.global_batch", train.global_batch,
      {.doc = "samples a step over all ranks; each has two views", .unit = "samples", .min = 2});
  table.add("train.micro_batch", train.micro_batch,
            {.doc = "gradient caching: samples over all ranks that the encoder takes at a time, so "
                    "that memory does not grow with train.global_batch; 0 = all at once",
             .unit = "samples",
             .min = 0});
  table.add(
      "train.patience", train.patience,
      {.doc = "end after so many evaluations (eval.every, eval.every_epochs) without a better "
              "one, and report the best one's weights; 0: train to the end, keep the last",
       .unit = "evaluations",
       .min = 0});
  table.add("train.max_skipped_steps", train.max_skipped_steps,
            {.doc = "steps with a loss or gradient that is not finite which may be skipped before "
                    "the run ends",
             .unit = "steps",
             .min = 0,
             .safe_to_change = true});
}

void describe_optim(OptionTable& table, OptimOptions& optim) {
  table.add("optim.name", optim.name, {.doc = "optimiser", .choices = {"sgd", "lars", "adamw"}});
  table.add("optim.lr", optim.lr,
            {.doc = "base learning rate, before optim.scaling", .min = 0, .max = 1000});
  table.add("optim.scaling", optim.scaling,
            {.doc = "learning rate by global batch B: none = lr, linear = lr*B/256, sqrt = "
                    "lr*sqrt(B)",
             .choices = {"none", "linear", "sqrt"}});
  table.add(
      "optim.schedule", optim.schedule,
      {.doc = "after the warm-up: constant, cosine to zero, or step = times optim.step_factor from "
              "each of optim.milestones on",
       .choices = {"constant", "cosine", "step"}});
  table.add("optim.milestones", optim.milestones,
            {.doc = "schedule step: where the learning rate drops", .unit = "epochs", .min = 0});
  table.add("optim.step_factor", optim.step_factor,
            {.doc = "schedule step: what it is multiplied by there",
             .min = 0,
             .max = 1,
             .above_min = true});
  table.add("optim.warmup_epochs", optim.warmup_epochs,
            {.doc = "linear rise of the learning rate", .unit = "epochs", .min = 0});
  table.add("optim.weight_decay", optim.weight_decay,
            {.doc = "weight decay", .min = 0, .max = 1000});
  table.add("optim.momentum", optim.momentum,
            {.doc = "momentum of sgd and lars", .min = 0, .max = 1});
  table.add("optim.nesterov", optim.nesterov, {.doc = "sgd: Nesterov's momentum"});
  table.add("optim.decay_all", optim.decay_all,
            {.doc = "sgd, adamw: decay biases and norm parameters too"});
  table.add("optim.lars_eta", optim.lars_eta,
            {.doc = "lars: trust coefficient", .min = 0, .above_min = true});
  table.add("optim.beta1", optim.beta1, {.doc = "adamw", .min = 0, .max = 1});
  table.add("optim.beta2", optim.beta2, {.doc = "adamw", .min = 0, .max = 1});
  table.add("optim.epsilon", optim.epsilon, {.doc = "adamw", .min = 0});
}

}  // namespace

void describe(OptionTable& table, TrainOptions& options) {
  describe_run(table, options.run);
  describe_length(table, options.train);
  describe_optim(table, options.optim);
  table.add("checkpoint.every", options.checkpoint.every,
            {.doc = "steps between checkpoints; there is always one at the end",
             .unit = "steps",
             .min = 1,
             .safe_to_change = true});
  table.add("checkpoint.keep", options.checkpoint.keep,
            {.doc = "newest checkpoints that stay on disk",
             .unit = "checkpoints",
             .min = 1,
             .safe_to_change = true});
  table.add("checkpoint.max_failures", options.checkpoint.max_failures,
            {.doc = "checkpoints in a row that may fail to be written before the run ends (74)",
             .unit = "checkpoints",
             .min = 1,
             .safe_to_change = true});
}

}  // namespace cltrain
