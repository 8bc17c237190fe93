// Serves the run's metrics to Prometheus: http://<metrics.bind>:<metrics.port>/metrics, on rank 0.
//
//   cltrain_build_info{version,commit,torch}, cltrain_run_info{run,method,dataset,ranks}
//   cltrain_start_timestamp_seconds          when this process opened the metrics
//   cltrain_restarts                         sessions of this run before this one
//   cltrain_target_steps                     steps of the whole run
//   cltrain_run_state{state}                 1 for what the run does now (kRunStates), else 0
//   cltrain_steps_total, cltrain_samples_total      since this process started (a restart is a
//   cltrain_nonfinite_steps_total                   counter reset, which rate() understands)
//   cltrain_step, cltrain_epoch              of the whole run
//   cltrain_loss, cltrain_learning_rate, cltrain_samples_per_second
//   cltrain_scalar{name}                     loss components and other scalars of the method
//   cltrain_temperature                      the scalar "temperature", where the method has it
//   cltrain_gradient_norm                    L2, before the update
//   cltrain_parameter_norm                   L2; this and the five below: last measured value
//   cltrain_embedding_std, cltrain_alignment, cltrain_uniformity, cltrain_positive_similarity,
//   cltrain_hardest_negative_similarity
//   cltrain_step_duration_seconds            histogram
//   cltrain_phase_seconds_total{phase}       where the time went (kPhases)
//   cltrain_slowest_rank, cltrain_slowest_rank_lag_seconds         of the last step
//   cltrain_slowest_rank_lag_seconds_total                         of all steps
//   cltrain_communication_bytes_total{operation}                   rank 0's (kCollectives)
//   cltrain_resident_memory_bytes, cltrain_peak_resident_memory_bytes, cltrain_device_memory_bytes
//   cltrain_loader_ready_batches             waiting on rank 0 when the last step began
//   cltrain_data_errors_total{kind}          samples replaced, all ranks (kDataErrorKinds)
//   cltrain_checkpoints_total, cltrain_checkpoint_last_success_timestamp_seconds
//   cltrain_checkpoint_duration_seconds, cltrain_checkpoint_size_bytes     of the last one
//   cltrain_write_failures_total             checkpoints or records that could not be written
//   cltrain_last_step_timestamp_seconds
//   cltrain_evaluation_accuracy_ratio{probe,score}    scores named accuracy, top1, top5, ...
//   cltrain_evaluation_score{probe,score}             every other score
//   cltrain_evaluation_duration_seconds{probe}
// Names and units follow prometheus.io/docs/practices/naming. Every series is there from the first
// scrape on, but for those whose labels come from the method or the evaluation (cltrain_scalar,
// cltrain_evaluation_*). Counters and timestamps start at 0. A gauge of something not measured yet
// is NaN: 0 would read as a collapse.
//
// monitoring/dashboards/cltrain.json is a Grafana dashboard over them: import it, or put it
// into a folder that a provisioning file (/etc/grafana/provisioning/dashboards/*.yaml, type "file")
// names.
//
// Threads: two of the HTTP server, with all signals blocked so that the program's handlers run on
// its own threads. The training thread writes atomics, and one short mutex for the histogram; a
// scrape copies numbers and formats them outside any lock, so it does not touch the step. Errors:
// none leave this class. A port that cannot be had leaves warning() to be printed, and the run goes
// on unwatched.
#pragma once

#include "monitoring/options.h"
#include "monitoring/sink.h"

#include <memory>
#include <string>

namespace cltrain {

/// What is known of a run when its metrics are opened.
struct RunInfo {
  std::string version, commit, torch;
  std::string run, method, dataset;
  int64_t ranks = 1;
  int64_t restarts = 0;     ///< sessions of this run before this one
  int64_t total_steps = 0;  ///< of the whole run
};

class PrometheusSink : public MetricSink {
 public:
  PrometheusSink(const MetricsOptions& options, const RunInfo& info);
  ~PrometheusSink() override;

  /// The port served on; 0 when there is none (see warning()).
  int port() const { return port_; }
  /// What went wrong and what to do, or "".
  const std::string& warning() const { return warning_; }

  void step(const StepRecord& record) override;
  void evaluation(const EvaluationRecord& record) override;
  void checkpoint(const CheckpointRecord& record) override;
  void write_failure(const std::string& what) override;
  void state(std::string_view state) override;

 private:
  struct Metrics;
  void serve(const MetricsOptions& options);

  std::unique_ptr<Metrics> metrics_;
  int port_ = 0;
  std::string warning_;
};

}  // namespace cltrain
