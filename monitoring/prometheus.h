// Serves the run's metrics to Prometheus: http://<metrics.bind>:<metrics.port>/metrics, on rank 0.
//
//   cltrain_steps_total, cltrain_samples_total        since this process started (a restart is a
//   cltrain_nonfinite_steps_total                     counter reset, which rate() understands)
//   cltrain_step, cltrain_epoch                       of the whole run
//   cltrain_loss, cltrain_learning_rate, cltrain_samples_per_second, cltrain_scalar{name}
//   cltrain_step_duration_seconds                     histogram
//   cltrain_phase_seconds_total{phase}                where the time went
//   cltrain_last_step_timestamp_seconds, cltrain_checkpoint_last_success_timestamp_seconds
//   cltrain_evaluation_accuracy_ratio{probe,score}    scores named accuracy, top1, top5, ...
//   cltrain_evaluation_score{probe,score}             every other score
//   cltrain_build_info{version,commit,torch}, cltrain_run_info{run,method,dataset,ranks}
// Names and units follow prometheus.io/docs/practices/naming.
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

/// The labels of cltrain_build_info and cltrain_run_info.
struct RunInfo {
  std::string version, commit, torch;
  std::string run, method, dataset;
  int64_t ranks = 1;
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

 private:
  struct Metrics;
  void serve(const MetricsOptions& options);

  std::unique_ptr<Metrics> metrics_;
  int port_ = 0;
  std::string warning_;
};

}  // namespace cltrain
