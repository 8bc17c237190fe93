// What the trainer reports, and who listens: one record a finished step, one an evaluation, one a
// checkpoint. The trainer fills plain records and hands them to `Sinks`; each sink writes one kind
// of output (a file, the terminal, Prometheus).
//
// Ranks: only rank 0 adds sinks. On the other ranks the list is empty and every call returns at
// once, so that the trainer calls it alike on all ranks. Threads: called from the training thread
// only, one call at a time. Errors: a sink that cannot write what it promised (disk full) throws
// RecordError. A sink whose output is only for watching (console, Prometheus) never throws.
// Order: step(s) is called before the checkpoint of step s becomes visible on disk; a resumed run
// then finds a line for every step it does not repeat.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cltrain {

/// The record of a run cannot be written, or was damaged: exit code 74.
class RecordError : public std::runtime_error {
  using runtime_error::runtime_error;
};

/// Names with values, in the order they are to be shown.
using NamedValues = std::vector<std::pair<std::string, double>>;

/// Where a step's time goes; the keys of StepRecord::phase_seconds.
inline constexpr std::array<std::string_view, 8> kPhases = {
    "data", "forward", "loss", "backward", "reduce", "optimizer", "checkpoint", "evaluation"};

struct StepRecord {
  int64_t step = 0;   ///< finished steps, from 1, counted over all restarts
  int64_t epoch = 0;  ///< from 0
  double loss = 0;    ///< of the global batch
  double learning_rate = 0;
  double samples_per_second = 0;  ///< all ranks together
  std::string ids_hash;           ///< hash of the global batch's sample ids, in order
  int64_t samples = 0;            ///< rows of this global batch
  double step_seconds = 0;
  NamedValues scalars;        ///< loss components, temperature, ...
  NamedValues phase_seconds;  ///< by phase (kPhases), since the record before
  bool refused = false;       ///< loss or gradient was not finite and the update was not made
};

struct EvaluationRecord {
  int64_t step = 0;
  std::string probe;   ///< "knn", "raw_pixels", ...
  NamedValues scores;  ///< "top1", "top5", ...: shares of 1, not per cent
  double seconds = 0;
};

struct CheckpointRecord {
  int64_t step = 0;
  std::string path;
  double seconds = 0;
};

class MetricSink {
 public:
  virtual ~MetricSink() = default;
  virtual void step(const StepRecord& record) = 0;
  virtual void evaluation(const EvaluationRecord& record) = 0;
  /// A checkpoint is complete on disk.
  virtual void checkpoint(const CheckpointRecord& record) {}
  /// A line for people.
  virtual void message(const std::string& text) {}
  /// The run ends (well or stopped); no call follows.
  virtual void close() {}
};

/// Hands each record to every sink, in the order they were added.
class Sinks {
 public:
  void add(std::unique_ptr<MetricSink> sink) { sinks_.push_back(std::move(sink)); }
  void step(const StepRecord& record) {
    for (auto& sink : sinks_) sink->step(record);
  }
  void evaluation(const EvaluationRecord& record) {
    for (auto& sink : sinks_) sink->evaluation(record);
  }
  void checkpoint(const CheckpointRecord& record) {
    for (auto& sink : sinks_) sink->checkpoint(record);
  }
  void message(const std::string& text) {
    for (auto& sink : sinks_) sink->message(text);
  }
  void close() {
    for (auto& sink : sinks_) sink->close();
  }

 private:
  std::vector<std::unique_ptr<MetricSink>> sinks_;
};

}  // namespace cltrain
