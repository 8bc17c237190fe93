// The run's record as JSON lines, for programs: `metrics.jsonl` holds one line a step, each step
// exactly once however often the run was killed and continued; `evaluations.jsonl` beside it holds
// one line an evaluation.
//
// A step's line: {"step":17,"epoch":0,"loss":5.1,"lr":0.3,"samples_per_second":1234.5,
//   "ids_hash":"...","samples":256,"step_seconds":0.2,"scalars":{...},"phase_seconds":{...}}
//   and "refused":true where the update was not made.
// An evaluation's: {"step":17,"probe":"knn","scores":{"top1":0.84},"seconds":1.5}
// Numbers are written so that reading them gives the same bits. JSON has no NaN or infinity: such a
// value is null, and "<name>_text" beside it says which ("loss":null,"loss_text":"nan").
//
// Who: rank 0's Sinks, from the training thread. Each line is one write(2), so it survives the
// death of the process (not that of the machine). Errors: RecordError naming the file and
// the operating system's reason.
#pragma once

#include "monitoring/sink.h"

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>

namespace cltrain {

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

  /// Appends `line` and a newline.
  void append(std::string line);

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

class JsonlSink : public MetricSink {
 public:
  /// `path` is that of metrics.jsonl; its folder must exist. `resume_step` is the step of the
  /// checkpoint the run continues from, 0 for a fresh run.
  JsonlSink(const std::filesystem::path& path, int64_t resume_step);

  void step(const StepRecord& record) override;
  /// An evaluation of the step the run resumed at that is in the file already is not written again.
  void evaluation(const EvaluationRecord& record) override;

 private:
  JsonlFile steps_;
  JsonlFile evaluations_;
  int64_t resume_step_;
  std::set<std::string> probes_at_resume_;
};

}  // namespace cltrain
