// summary.json: what a run did, written once at its end on rank 0; and the small reports beside it.
#pragma once

#include "eval/accuracy.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include <ATen/core/Tensor.h>

namespace cltrain {

struct Summary {
  std::string method, config;
  int64_t ranks = 0, global_batch = 0, negatives_per_anchor = 0;
  int64_t steps = 0, samples_seen = 0, skipped_steps = 0;
  int64_t best_step = -1;         ///< whose weights the last evaluation is of; -1: the last step's
  bool stopped_early = false;     ///< by train.patience
  double samples_per_second = 0;  ///< mean over the steps of the last session
  int64_t peak_rss_bytes = 0;     ///< of the largest rank
  std::string state_sha256;
};

/// One measurement of an encoder after training.
struct ProbeReport {
  std::string probe;     ///< "knn", "linear", "retrieval", "classifier", "ranking"
  std::string protocol;  ///< one line that says how the figures came about
  std::string weights;   ///< what was measured: "checkpoint of step 100", "untrained"
  int64_t step = 0, seed = 0, ranks = 0;
  Accuracy accuracy;                                   ///< of retrieval: its queries alone
  std::vector<std::pair<int64_t, double>> recall;      ///< of retrieval: at n neighbours
  std::vector<std::pair<std::string, double>> scores;  ///< of ranking: "HR@5", ...
  int64_t left_out = 0;                                ///< samples that could not be read
  double seconds = 0;                                  ///< of the probe, without embedding
};

/// As JSON, an object: what append_report adds to summary.json.
std::string report_text(const ProbeReport& report);

/// Appends the report to the list "evaluations" of <run_dir>/summary.json; of a run that is not
/// finished yet the file then holds nothing else. Throws RunDirectoryError where the file is
/// damaged, IoError where it cannot be written.
void append_report(const std::filesystem::path& run_dir, const ProbeReport& report);

/// Writes <run_dir>/summary.json, keeping its "evaluations"; the last loss comes from metrics.jsonl
/// and the evaluations from evaluations.jsonl, so that a run of several sessions reports all of
/// them.
void write_summary_file(const std::filesystem::path& run_dir, const Summary& summary);

/// The finished run's number of steps; none where there is no summary, or only evaluations. Throws
/// RunDirectoryError for a damaged file.
std::optional<int64_t> finished_steps(const std::filesystem::path& run_dir);

/// Whether train.patience ended the finished run before its number of steps.
bool stopped_early(const std::filesystem::path& run_dir);

/// The table of evaluations that ends a run, one line a probe, for people.
std::string results_table(const std::filesystem::path& run_dir);

/// JSON: the step, its loss and the sample ids of the global batch in order; besides, if there are
/// any, the ids whose embeddings are not finite.
std::string nonfinite_report(int64_t step, double loss, const at::Tensor& ids,
                             const at::Tensor& not_finite);

/// Largest resident memory of this process so far.
int64_t peak_rss_bytes();

}  // namespace cltrain
