// summary.json: what a run did, written once at its end on rank 0; and the small reports beside it.
#pragma once

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
  double samples_per_second = 0;  ///< mean over the steps of the last session
  int64_t peak_rss_bytes = 0;     ///< of the largest rank
  std::string state_sha256;
};

/// Writes <run_dir>/summary.json; the last loss comes from metrics.jsonl and the evaluations from
/// evaluations.jsonl, so that a run of several sessions reports all of them.
void write_summary_file(const std::filesystem::path& run_dir, const Summary& summary);

/// The finished run's number of steps, or none. Throws RunDirectoryError for a damaged file.
std::optional<int64_t> finished_steps(const std::filesystem::path& run_dir);

/// The table of evaluations that ends a run, one line a probe, for people.
std::string results_table(const std::filesystem::path& run_dir);

/// JSON: the step, its loss and the sample ids of the global batch in order.
std::string nonfinite_report(int64_t step, double loss, const at::Tensor& ids);

/// Largest resident memory of this process so far.
int64_t peak_rss_bytes();

}  // namespace cltrain
