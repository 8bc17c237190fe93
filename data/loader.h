// Makes this rank's share of every global batch, ahead of the step that wants it.
//
// Worker threads share each batch row by row (one row: all a RowMaker makes of a sample), so that
// one batch is ready as early as possible; up to `prefetch` batches are in the making or waiting.
// The main thread opens them (order, tensors, labels) and workers only read the data set and write
// plain memory: no torch call is made outside the main thread.
//
// The global batch depends on (seed, step, data set, options) alone: not on timing, nor on the
// number of workers or ranks; micro_batch and ranks only split it (cut_batch in data/sampler.h).
// Step s is batch s mod steps_per_epoch of epoch s / steps_per_epoch. There is no state to save
// beyond position().
//
// A sample that is a BadSample (data/dataset.h) is replaced by another one (data/bad_sample.h), the
// same at any number of ranks and workers; Batch::replaced lists them in the order of the rows.
// When kReplacementAttempts replacements are bad as well, a DataError says so. It, and any other
// exception of the data set in a worker, comes out of the next() that would have given that batch,
// and of every next() until seek().
//
// One loader a rank; its functions belong to one thread, but for ready(). The destructor waits for
// the rows that are being made, no more.
#pragma once

#include "data/batch.h"
#include "data/dataset.h"
#include "data/options.h"
#include "data/row_maker.h"
#include "data/sampler.h"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace cltrain {

struct LoaderOptions {
  uint64_t seed = 1;
  int64_t global_batch = 256;
  int64_t micro_batch = 0;  ///< samples a chunk over all ranks; 0: the whole batch is one chunk
  bool drop_last = false;
  int64_t workers = 1;   ///< threads, >= 1 (data.workers = 0 is resolved by the launcher)
  int64_t prefetch = 4;  ///< batches, >= 1
  int rank = 0, world_size = 1;
  int64_t views = 2;  ///< of pictures and clips: 1 to 16
};

class Loader {
 public:
  /// `samples` must outlive the loader. Throws std::invalid_argument for options out of range, and
  /// DataError when the set gives no batch at all (empty, or too small with drop_last).
  Loader(const SampleSet& samples, LoaderOptions options, std::unique_ptr<const RowMaker> rows);
  /// Of pictures and clips: their views.
  Loader(const Dataset& dataset, LoaderOptions options, const AugmentOptions& augment)
      : Loader(dataset, options, std::make_unique<ViewRows>(dataset, augment, options.views)) {}
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The batch of step position(); waits until its rows are ready.
  Batch next();
  /// The step whose batch next() gives: batches given out so far, or what seek() set.
  int64_t position() const { return position_; }
  /// Continues at `step` >= 0: next() then gives exactly what an uninterrupted run gets there.
  void seek(int64_t step);
  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  /// Batches whose rows are all made and that wait for next(). Any thread.
  int64_t ready() const;

 private:
  struct Job;

  std::shared_ptr<Job> open(int64_t step);
  void fill_queue();
  void work();
  struct Replacement;
  std::optional<Replacement> make_row(const Job& job, int64_t row) const;
  Replacement replace(const Job& job, int64_t row, const BadSample& bad,
                      const std::vector<std::byte*>& outs) const;
  void patch(Job& job) const;

  const SampleSet& samples_;
  const LoaderOptions options_;
  const int64_t steps_per_epoch_;
  const std::unique_ptr<const RowMaker> rows_;
  int64_t position_ = 0;
  int64_t order_epoch_ = -1;
  std::vector<int64_t> order_;  // of order_epoch_

  mutable std::mutex mutex_;  // guards what follows and the counters of the jobs
  std::condition_variable rows_wanted_, rows_done_;
  std::deque<std::shared_ptr<Job>> queue_;  // steps position_, position_ + 1, ...
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace cltrain
