// The run's record as JSON lines, for programs: `metrics.jsonl` holds one line a step, each step
// exactly once however often the run was killed and continued; `evaluations.jsonl` beside it holds
// one line an evaluation.
//
// A step's line: {"step":17,"epoch":0,"loss":5.1,"lr":0.3,"samples_per_second":1234.5,
//   "ids_hash":"...","samples":256,"step_seconds":0.2,"gradient_norm":1.5,"scalars":{...},
//   "phase_seconds":{...},"slowest_rank":0,"slowest_lag_seconds":0.001,
//   "communication_bytes":{"all_gather":1024,...},"batches_ready":2,"resident_bytes":123456}
//   and where they were measured (every metrics.every steps) "parameter_norm":30.1,
//   "similarity":{"embedding_std":0.08,...}; on a GPU "device_bytes":123456; where samples were
//   replaced "data_errors":{"damaged":1}; "refused":true where the update was not made.
// An evaluation's: {"step":17,"probe":"knn","scores":{"top1":0.84},"seconds":1.5}
// Everything after "samples" may be missing: earlier versions wrote less.
// Numbers are written so that reading them gives the same bits. JSON has no NaN or infinity: such a
// value is null, and "<name>_text" beside it says which ("loss":null,"loss_text":"nan").
//
// Who: rank 0's Sinks, from the training thread. Each line is one write(2), so it survives the
// death of the process (not that of the machine). Errors: RecordError naming the file and the
// operating system's reason. A line that cannot be written (disk full) is held back and tried again
// with the next one, so that the run goes on; flush() and close() throw while any is held back.
#pragma once

#include "monitoring/sink.h"

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>

namespace cltrain {

/// Names of the probes that evaluations.jsonl (`path`) holds for `step`; none where there is no
/// file.
std::set<std::string> recorded_probes(const std::filesystem::path& path, int64_t step);

/// A file of JSON lines in order of their "step", open for appending.
class JsonlFile {
 public:
  /// Opens or creates `path` and cuts what does not belong to the first `resume_step` steps: lines
  /// of later steps and a torn last line. A complete line that is no JSON object with a whole
  /// "step" is damage that no restart explains: it throws, naming the line, rather than lose the
  /// rest.
  JsonlFile(const std::filesystem::path& path, int64_t resume_step);
  ~JsonlFile();
  JsonlFile(const JsonlFile&) = delete;
  JsonlFile& operator=(const JsonlFile&) = delete;

  /// Appends `line` and a newline, after what is held back; what cannot be written is held back.
  void append(const std::string& line);
  /// Throws while something is held back and still cannot be written, and while the file is not at
  /// its path.
  void flush();

 private:
  int write_held();  ///< 0 or errno

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::string held_;  ///< not yet in the file; its start may be the rest of a torn line
};

class JsonlSink : public MetricSink {
 public:
  /// `path` is that of metrics.jsonl; its folder must exist. `resume_step` is the step of the
  /// checkpoint the run continues from, 0 for a fresh run.
  JsonlSink(const std::filesystem::path& path, int64_t resume_step);

  void step(const StepRecord& record) override;
  /// An evaluation of the step the run resumed at that is in the file already is not written again.
  void evaluation(const EvaluationRecord& record) override;
  void flush() override;
  void close() override;

 private:
  JsonlFile steps_;
  JsonlFile evaluations_;
  int64_t resume_step_;
  std::set<std::string> probes_at_resume_;
};

}  // namespace cltrain
