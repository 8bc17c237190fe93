// Progress for people. On a terminal one line is rewritten in place, at most ten times a second; in
// a file there are plain lines: the first step, then one each `seconds_between_lines`, and the
// last. Evaluations, checkpoints and messages are lines of their own in both.
//
//   epoch 3  step 940/2340  loss 4.1234  lr 0.3  5123 samples/s  data wait 0.4 %  left 4m12s
//
// Who: rank 0's Sinks, from the training thread. Never throws; a closed pipe is not noticed.
#pragma once

#include "monitoring/sink.h"

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>

namespace cltrain {

struct ConsoleSettings {
  bool terminal = false;             ///< see shown_on_terminal()
  int64_t total_steps = 0;           ///< of the whole run; 0: not known, no time left is shown
  double seconds_between_lines = 5;  ///< in a file
  /// Seconds from any fixed moment; tests pass their own. Empty: the steady clock.
  std::function<double()> clock = {};
};

/// Whether a person sees what is written to `stream`. isatty() alone does not tell: Open MPI gives
/// every rank a pseudo-terminal as standard output even where mpirun's own goes to a file, so under
/// mpirun the launcher's standard output (through /proc) must be a terminal as well.
bool shown_on_terminal(FILE* stream);

/// 75 -> "1m15s", 3 -> "3s", 7500 -> "2h05m".
std::string format_duration(double seconds);

class ConsoleSink : public MetricSink {
 public:
  /// Writes to `out`, which is not owned and must outlive the sink.
  ConsoleSink(FILE* out, ConsoleSettings settings);

  void step(const StepRecord& record) override;
  void evaluation(const EvaluationRecord& record) override;
  void checkpoint(const CheckpointRecord& record) override;
  void write_failure(const std::string& what) override;
  void message(const std::string& text) override;
  /// Shows the last step if it was not shown.
  void close() override;

 private:
  std::string progress_line() const;
  void show();
  void line(const std::string& text);

  FILE* out_;
  ConsoleSettings settings_;
  StepRecord last_;
  bool pending_ = false;    ///< last_ was not shown yet
  bool line_open_ = false;  ///< a terminal line without its newline
  int64_t steps_seen_ = 0;  ///< of this process
  double first_time_ = 0;   ///< when the first step was reported
  double last_time_ = 0;    ///< when the last step was reported
  double shown_time_ = 0;
  double data_seconds_ = 0;  ///< since the line before
  double step_seconds_ = 0;  ///< since the line before
};

}  // namespace cltrain
