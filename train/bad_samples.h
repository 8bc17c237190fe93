// The bad samples of a run, on all ranks: a list of them for people, a limit, and counts for the
// metrics. What a bad sample is: BadSample in data/dataset.h; the loader has replaced it.
//
// Every rank makes one, with the control communicator, and calls note() together with all others;
// one thread. Rank 0 writes <run directory>/bad_samples.jsonl, one line a bad sample, once in the
// whole run, restarts included:
//   {"id":17,"kind":"damaged","replacement":803,"step":41,"message":"/data/a.jpg: truncated ..."}
// `id` and `replacement` are Dataset::source_id; `step` is the one that met the sample first. There
// is no file before the first bad sample.
//
// The list is of the run: samples that were mended between two sessions remain on it, and in the
// ratio, until the file is removed.
//
// Errors: RecordError on rank 0 when the file cannot be read, or not be written when flush() is
// called; DataError, on every rank alike, when more samples are bad than allowed.
#pragma once

#include "data/batch.h"
#include "dist/communicator.h"
#include "monitoring/jsonl.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

namespace cltrain {

class BadSamples {
 public:
  /// Collective: rank 0 reads what earlier sessions found, a torn last line cut, and shares it.
  /// `max_bad_ratio`: data.max_bad_ratio, of `training_size` samples. `control` outlives this.
  BadSamples(std::filesystem::path run_dir, const Communicator& control, int64_t training_size,
             double max_bad_ratio);

  /// Collective, to be called on every rank where any rank has replaced rows at `step`. Returns how
  /// many rows of the global batch were replaced, by kind, the same on every rank. Throws DataError
  /// on every rank when the different bad samples of the run are more than max_bad_ratio allows;
  /// the list is complete by then.
  std::map<std::string, int64_t> note(const std::vector<ReplacedRow>& of_this_rank, int64_t step);

  /// Throws RecordError while a line is held back because it cannot be written (JsonlFile). Does
  /// nothing on ranks other than 0; not collective. To be called where the sinks are flushed.
  void flush() const;

  /// Different bad samples of the run so far.
  int64_t distinct() const { return static_cast<int64_t>(known_.size()); }

 private:
  std::vector<ReplacedRow> gather(const std::vector<ReplacedRow>& of_this_rank) const;
  void append(const ReplacedRow& row, int64_t step);

  const std::filesystem::path path_;
  const Communicator& control_;
  const int64_t training_size_;
  const double max_bad_ratio_;
  std::unordered_set<int64_t> known_;
  std::unique_ptr<JsonlFile> file_;  // rank 0, from the first bad sample on
};

}  // namespace cltrain
