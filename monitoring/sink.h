// What the trainer reports, and who listens: one record a finished step, one an evaluation, one a
// checkpoint. The trainer fills plain records and hands them to `Sinks`; each sink writes one kind
// of output (a file, the terminal, Prometheus).
//
// Ranks: only rank 0 adds sinks. On the other ranks the list is empty and every call returns at
// once, so that the trainer calls it alike on all ranks. Threads: called from the training thread
// only, one call at a time. Errors: a sink that cannot write what it promised (disk full) holds it
// back and tries again; flush() and close() throw RecordError where that fails. A sink whose output
// is only for watching (console, Prometheus, TensorBoard) never throws.
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
inline constexpr std::array<std::string_view, 10> kPhases = {
    "data",     "host_to_device", "forward",   "gather",     "loss",
    "backward", "reduce",         "optimizer", "checkpoint", "evaluation"};

/// Collectives whose bytes are counted; the keys of StepRecord::communication_bytes.
inline constexpr std::array<std::string_view, 5> kCollectives = {
    "all_gather", "reduce_scatter", "all_reduce", "broadcast", "send_receive"};

/// Kinds of samples that cannot be read; the keys of StepRecord::data_errors.
inline constexpr std::array<std::string_view, 5> kDataErrorKinds = {
    "unreadable", "damaged", "unsupported", "too_large", "too_short"};

/// What a run is doing, from the first to the last.
inline constexpr std::array<std::string_view, 7> kRunStates = {
    "starting", "training", "evaluating", "checkpointing", "finished", "stopped", "failed"};

struct StepRecord {
  int64_t step = 0;   ///< finished steps, from 1, counted over all restarts
  int64_t epoch = 0;  ///< from 0
  double loss = 0;    ///< of the global batch
  double learning_rate = 0;
  double samples_per_second = 0;  ///< all ranks together
  std::string ids_hash;           ///< hash of the global batch's sample ids, in order
  int64_t samples = 0;            ///< rows of this global batch
  double step_seconds = 0;
  double gradient_norm = 0;   ///< L2 over all parameters trained in the step, before the update
  double parameter_norm = 0;  ///< L2 over the same parameters; 0 but every metrics.every steps
  NamedValues scalars;        ///< loss components, temperature, ...
  /// Every metrics.every steps, else empty; over the first 256 rows of the global batch:
  /// embedding_std, alignment, uniformity, positive_similarity, hardest_negative_similarity.
  NamedValues similarity;
  NamedValues phase_seconds;        ///< by phase (kPhases), since the record before
  int64_t slowest_rank = 0;         ///< the rank that the others waited for most
  double slowest_lag_seconds = 0;   ///< how much longer than the mean rank it worked in this step
  NamedValues communication_bytes;  ///< by collective (kCollectives), sent and received by rank 0
  NamedValues data_errors;     ///< samples replaced, by kind, all ranks, since the record before
  int64_t batches_ready = 0;   ///< batches waiting in rank 0's loader when the step began
  int64_t resident_bytes = 0;  ///< memory of rank 0's process
  int64_t device_bytes = 0;    ///< memory allocated on rank 0's GPU; 0 on the CPU
  bool refused = false;        ///< loss or gradient was not finite and the update was not made
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
  int64_t bytes = 0;
};

class MetricSink {
 public:
  virtual ~MetricSink() = default;
  virtual void step(const StepRecord& record) = 0;
  virtual void evaluation(const EvaluationRecord& record) = 0;
  /// A checkpoint is complete on disk.
  virtual void checkpoint(const CheckpointRecord& record) {}
  /// A checkpoint or a record could not be written; the run goes on and tries again.
  virtual void write_failure(const std::string& what) {}
  /// What the run does now: one of kRunStates.
  virtual void state(std::string_view state) {}
  /// Brings to disk what is still held back. Throws RecordError where that fails: a checkpoint must
  /// not become visible before the steps it holds are on record.
  virtual void flush() {}
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
  void write_failure(const std::string& what) {
    for (auto& sink : sinks_) sink->write_failure(what);
  }
  void state(std::string_view state) {
    for (auto& sink : sinks_) sink->state(state);
  }
  void message(const std::string& text) {
    for (auto& sink : sinks_) sink->message(text);
  }
  void flush() {
    for (auto& sink : sinks_) sink->flush();
  }
  void close() {
    for (auto& sink : sinks_) sink->close();
  }

 private:
  std::vector<std::unique_ptr<MetricSink>> sinks_;
};

}  // namespace cltrain
