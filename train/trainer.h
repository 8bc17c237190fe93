// Trainer: the loop. One step is: data, forward, loss, backward with the sum of gradients over the
// ranks (train/gradient_cache.h), agreement that all is finite, update. Read step() in trainer.cpp
// first; what keeps and restores the state is in trainer_state.cpp.
//
// Every rank makes one and calls run(); all of them return the same exit code. Errors that end the
// run are exceptions: NonFinite here, PeerLost, DataError, IoError and CheckpointError from below.
#pragma once

#include "data/loader.h"
#include "dist/communicator.h"
#include "dist/gradient_sum.h"
#include "models/method.h"
#include "monitoring/options.h"
#include "monitoring/sink.h"
#include "train/bad_samples.h"
#include "train/best_weights.h"
#include "train/checkpoint.h"
#include "train/evaluation.h"
#include "train/health.h"
#include "train/optimizer.h"
#include "train/options.h"
#include "train/phase_clock.h"
#include "train/spread_state.h"

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cltrain {

/// More steps were refused for a loss or gradient that is not finite than
/// train.max_skipped_steps allows: exit code 70.
class NonFinite : public std::runtime_error {
  using runtime_error::runtime_error;
};

/// What the trainer works with; all of it outlives the trainer.
struct TrainerParts {
  const World& world;
  const Communicators& communicators;
  const TrainOptions& options;
  const MetricsOptions& metrics;
  Method& method;
  Loader& loader;
  BadSamples& bad_samples;
  Evaluation& evaluation;
  const CheckpointStore& checkpoints;
  const int64_t training_samples;  ///< of the data set; a continued run must find as many
  const std::filesystem::path run_dir;
  const std::string method_name, config_name;  ///< for summary.json
  Sinks& sinks;                                ///< empty but on rank 0
  std::map<std::string, std::string>
      environment;  ///< what a restart must share to be bit-identical
};

class Trainer {
 public:
  explicit Trainer(TrainerParts parts);

  /// Takes up the newest checkpoint, if there is one: state and position on every rank. Collective.
  /// Throws CheckpointError where it does not fit this run.
  struct Resumed {
    int64_t step = 0;                ///< where the run continues; 0: a fresh run
    std::vector<std::string> notes;  ///< rank 0: what keeps it from being bit-identical
  };
  Resumed resume();
  /// Trains to the end and writes summary.json: kDone; or to a stop request: a checkpoint and
  /// kStoppedWithCheckpoint.
  int run();

  int64_t total_steps() const { return total_steps_; }

 private:
  struct Verdict {
    double loss = 0;
    bool finite = true;
    bool stop = false;
    bool replaced_rows = false;
    int slowest_rank = 0;
    double slowest_lag_seconds = 0;
  };

  StepRecord step();
  GradientSum& gradients_of(const Phase& phase);
  void freeze_others(const Phase& phase);
  void warn_of_unreached(const std::vector<std::string>& names);
  Verdict agree(const at::Tensor& share, double gradient_norm, const Batch& batch);
  std::vector<at::Tensor> parameters_of_groups(const std::vector<std::string>& names) const;
  std::vector<at::Tensor> gradients_of_groups(const std::vector<std::string>& names) const;
  /// `updated`: the phases of this step before the refused one.
  void refuse(const Batch& batch, double loss, const std::vector<at::Tensor>& embeddings,
              const std::vector<std::string>& updated);
  Batch next_batch();
  std::vector<StateTensor> state() const;
  /// [b, ...] of this rank's rows -> those of the global batch, on every rank.
  at::Tensor in_global_order(const Batch& batch, const at::Tensor& local) const;
  at::Tensor rows_not_finite(const Batch& batch, const std::vector<at::Tensor>& embeddings) const;
  at::Tensor global_ids(const Batch& batch) const;  // in order, on every rank
  bool save();           // false: could not be written, and is to be tried again
  void save_for_sure();  // tries until it is written; IoError after checkpoint.max_failures
  bool evaluation_due(int64_t step) const;
  void evaluate(Evaluation::When when);
  void evaluate_at_the_end();
  void write_summary();

  TrainerParts parts_;
  int64_t total_steps_;
  double peak_learning_rate_;
  BestWeights best_;
  bool warned_of_unreached_ = false;
  std::map<std::string, int64_t> counters_{{"step", 0}, {"samples", 0}, {"skipped_steps", 0}};
  int64_t saved_step_ = -1;
  int64_t failed_saves_ = 0;  // in a row
  WorkMeter work_;
  bool stop_ = false;
  int64_t session_samples_ = 0;  // since this process began
  double session_seconds_ = 0;
  PhaseClock clock_;
  std::map<std::string, ParameterGroup> groups_;
  std::map<std::string, std::unique_ptr<Optimizer>> optimizers_;
  std::map<std::string, std::unique_ptr<GradientSum>> gradients_;  // by phase, made at first use
};

}  // namespace cltrain
