// The run's curves for TensorBoard: event files in <run.dir>/tensorboard, to be looked at with
//   tensorboard --logdir runs
//
// At each step: loss, learning_rate, samples_per_second, gradient_norm, scalars/<name>.
// At each step where they were measured: parameter_norm, similarity/<name>.
// Every `every` steps, means a step since the last such point: step_seconds, phase_seconds/<phase>,
//   slowest_lag_seconds, communication_bytes/<operation>, loader_ready_batches; and as it is then:
//   memory/resident_bytes, memory/device_bytes, data_errors (a count since the session began).
// At each evaluation: evaluation/<probe>/<score>, evaluation/<probe>/seconds.
// At each checkpoint: checkpoint/seconds, checkpoint/bytes.
// A point's step is the number of finished steps. Values are float, as TensorBoard shows them.
//
// A session of a run is a file of its own. It begins with the announcement that steps after the one
// the run resumes at are void, so that TensorBoard shows each step once; its name sorts after those
// of earlier sessions, whatever the clock did.
//
// Who: rank 0's Sinks, from the training thread. Points are held in memory and written after
// flush_seconds, at a checkpoint, an evaluation and the end. Errors: none leave this class. The
// first one is handed to `warn`, and nothing more is written: the record of the run is
// metrics.jsonl, and training goes on.
#pragma once

#include "monitoring/sink.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>

namespace cltrain {

struct TensorBoardSettings {
  std::filesystem::path folder;  ///< made if it is not there
  int64_t resume_step = 0;       ///< step of the checkpoint the run continues from; 0: fresh
  std::set<std::string> probes_at_resume = {};  ///< evaluated at that step: recorded_probes()
  int64_t every = 50;                           ///< steps between the points of what changes slowly
  double flush_seconds = 10;                    ///< that points may wait in memory; 0: none do
  std::function<void(const std::string&)> warn;  ///< called at most once
};

class TensorBoardSink : public MetricSink {
 public:
  explicit TensorBoardSink(TensorBoardSettings settings);
  ~TensorBoardSink() override;
  TensorBoardSink(const TensorBoardSink&) = delete;
  TensorBoardSink& operator=(const TensorBoardSink&) = delete;

  void step(const StepRecord& record) override;
  /// One of the step the run resumed at that was recorded before the restart is not written again.
  void evaluation(const EvaluationRecord& record) override;
  void checkpoint(const CheckpointRecord& record) override;
  void flush() override { write(); }
  void close() override;

  /// The file of this session; empty where it could not be made.
  const std::filesystem::path& path() const { return path_; }

 private:
  void open();
  void add(int64_t step, const NamedValues& scalars);
  void sum_up(const StepRecord& record);
  void add_means(const StepRecord& record);
  void write();
  void give_up(const std::string& what, int error);

  TensorBoardSettings settings_;
  std::filesystem::path path_;
  int descriptor_ = -1;  ///< -1: disabled
  std::string held_;
  std::chrono::steady_clock::time_point written_at_;
  std::map<std::string, double, std::less<>> sums_;  ///< by tag, since the last means
  int64_t summed_steps_ = 0;
  double data_errors_ = 0;
};

}  // namespace cltrain
