#include "data/loader.h"

#include "data/bad_sample.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include <ATen/ops/empty.h>

namespace cltrain {
namespace {

void require(bool allowed, const std::string& name, int64_t value, const std::string& range) {
  if (!allowed)
    throw std::invalid_argument("loader: " + name + " = " + std::to_string(value) +
                                "; allowed: " + range);
}

/// Checked before the member that is computed from it.
int64_t checked_steps(const SampleSet& samples, const LoaderOptions& options) {
  require(options.global_batch >= 1, "train.global_batch", options.global_batch, "1 or more");
  require(options.micro_batch >= 0, "train.micro_batch", options.micro_batch, "0 or more");
  require(options.workers >= 1, "workers", options.workers, "1 or more");
  require(options.prefetch >= 1, "data.prefetch", options.prefetch, "1 or more");
  require(options.rank >= 0 && options.rank < options.world_size, "rank", options.rank,
          "0 to " + std::to_string(options.world_size - 1));
  const int64_t steps = steps_per_epoch(samples.size(), options.global_batch, options.drop_last);
  if (steps < 1)
    throw DataError(
        samples.describe() + ": " + std::to_string(samples.size()) +
        " samples give no batch of train.global_batch=" + std::to_string(options.global_batch) +
        (options.drop_last ? " with data.drop_last=true: set it to false, or take a "
                             "smaller global batch"
                           : ""));
  return steps;
}

at::Tensor empty_int64(int64_t rows) {
  return at::empty({rows}, at::kLong);
}

}  // namespace

/// A row that holds another sample than the epoch's order says.
struct Loader::Replacement {
  int64_t row = 0, position = 0;
  ReplacedRow report;
};

/// One batch in the making. The main thread writes it before it is queued; afterwards the counters,
/// the replacements and the error belong to the loader's mutex, and each row of the tensors to
/// the worker that took it.
struct Loader::Job {
  Batch batch;
  std::vector<int64_t> positions;
  std::vector<std::byte*> outs;  // data of batch.tensors, in the order of the fields
  PhiloxKey key{};
  int64_t rows = 0;
  int64_t taken = 0, done = 0;
  std::vector<Replacement> replacements;  // in the order in which workers came across them
  int64_t error_row = 0;
  std::exception_ptr error;  // of the lowest row that failed
};

Loader::Loader(const SampleSet& samples, LoaderOptions options,
               std::unique_ptr<const RowMaker> rows)
    : samples_(samples),
      options_(options),
      steps_per_epoch_(checked_steps(samples, options_)),
      rows_(std::move(rows)) {
  fill_queue();
  for (int64_t worker = 0; worker < options_.workers; ++worker)
    workers_.emplace_back([this] { work(); });
}

Loader::~Loader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  rows_wanted_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

std::shared_ptr<Loader::Job> Loader::open(int64_t step) {
  const int64_t epoch = step / steps_per_epoch_;
  if (epoch != order_epoch_) {
    order_ = epoch_order(options_.seed, epoch, samples_.size());
    order_epoch_ = epoch;
  }
  const int64_t begin = step % steps_per_epoch_ * options_.global_batch;
  const int64_t global_rows = std::min(options_.global_batch, samples_.size() - begin);
  auto job = std::make_shared<Job>();
  Batch& batch = job->batch;
  batch.cut = cut_batch(global_rows, options_.micro_batch, options_.world_size);
  for (const std::vector<RowRange>& ranks : batch.cut.share) {
    const RowRange share = ranks[static_cast<size_t>(options_.rank)];
    job->positions.insert(job->positions.end(), order_.begin() + begin + share.begin,
                          order_.begin() + begin + share.end);
  }
  job->rows = static_cast<int64_t>(job->positions.size());
  job->key = random_key(options_.seed, Purpose::kAugmentation, static_cast<uint64_t>(epoch));
  batch.step = step;
  batch.epoch = epoch;
  batch.global_rows = global_rows;
  batch.ids = empty_int64(job->rows);
  batch.positions = empty_int64(job->rows);
  if (samples_.classes() > 0) batch.labels = empty_int64(job->rows);
  for (int64_t row = 0; row < job->rows; ++row) {
    const int64_t position = job->positions[static_cast<size_t>(row)];
    batch.positions.mutable_data_ptr<int64_t>()[row] = position;
    batch.ids.mutable_data_ptr<int64_t>()[row] = samples_.source_id(position);
    if (batch.labels.defined())
      batch.labels.mutable_data_ptr<int64_t>()[row] = samples_.label(position);
  }
  for (const RowField& field : rows_->fields()) {
    std::vector<int64_t> extents = field.extents;
    extents.insert(extents.begin(), job->rows);
    at::Tensor values = at::empty(extents, field.integers ? at::kLong : at::kFloat);
    job->outs.push_back(static_cast<std::byte*>(values.mutable_data_ptr()));
    batch.tensors.emplace(field.name, std::move(values));
  }
  return job;
}

void Loader::fill_queue() {
  for (;;) {
    int64_t step;
    {
      const std::lock_guard lock(mutex_);
      if (static_cast<int64_t>(queue_.size()) >= options_.prefetch) return;
      step = position_ + static_cast<int64_t>(queue_.size());
    }
    // Only this thread adds to the queue, so the lock is not needed while the job is opened.
    std::shared_ptr<Job> job = open(step);
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(job));
    }
    rows_wanted_.notify_all();
  }
}

Batch Loader::next() {
  std::shared_ptr<Job> job;
  {
    std::unique_lock lock(mutex_);
    job = queue_.front();
    rows_done_.wait(lock, [&] { return job->done == job->rows; });
    if (job->error) std::rethrow_exception(job->error);
    queue_.pop_front();
    ++position_;
  }
  patch(*job);
  fill_queue();
  return std::move(job->batch);
}

/// Ids, positions and labels of replaced rows were filled in before anybody knew; nobody but the
/// main thread holds the job now.
void Loader::patch(Job& job) const {
  Batch& batch = job.batch;
  std::sort(job.replacements.begin(), job.replacements.end(),
            [](const Replacement& left, const Replacement& right) { return left.row < right.row; });
  for (Replacement& each : job.replacements) {
    batch.positions.mutable_data_ptr<int64_t>()[each.row] = each.position;
    batch.ids.mutable_data_ptr<int64_t>()[each.row] = each.report.replacement_id;
    if (batch.labels.defined())
      batch.labels.mutable_data_ptr<int64_t>()[each.row] = samples_.label(each.position);
    batch.replaced.push_back(std::move(each.report));
  }
}

int64_t Loader::ready() const {
  const std::lock_guard lock(mutex_);
  return std::count_if(queue_.begin(), queue_.end(),
                       [](const auto& each) { return each->done == each->rows; });
}

void Loader::seek(int64_t step) {
  require(step >= 0, "seek to step", step, "0 or more");
  {
    // Workers that are in the middle of a row hold their job alive and finish it unseen.
    const std::lock_guard lock(mutex_);
    queue_.clear();
    position_ = step;
  }
  fill_queue();
}

void Loader::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    std::shared_ptr<Job> job;
    rows_wanted_.wait(lock, [&] {
      if (stop_) return true;
      const auto open = std::find_if(queue_.begin(), queue_.end(),
                                     [](const auto& each) { return each->taken < each->rows; });
      if (open == queue_.end()) return false;
      job = *open;
      return true;
    });
    if (stop_) return;
    const int64_t row = job->taken++;
    lock.unlock();
    std::exception_ptr error;
    std::optional<Replacement> replacement;
    try {
      replacement = make_row(*job, row);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (replacement) job->replacements.push_back(std::move(*replacement));
    if (error && (!job->error || row < job->error_row)) {
      job->error = error;
      job->error_row = row;
    }
    if (++job->done == job->rows) rows_done_.notify_all();
  }
}

std::optional<Loader::Replacement> Loader::make_row(const Job& job, int64_t row) const {
  const int64_t position = job.positions[static_cast<size_t>(row)];
  std::vector<std::byte*> outs = job.outs;
  for (size_t i = 0; i < outs.size(); ++i) outs[i] += row * rows_->fields()[i].row_bytes();
  try {
    rows_->make(position, job.key, outs);
    return std::nullopt;
  } catch (const BadSample& bad) {
    return replace(job, row, bad, outs);
  }
}

Loader::Replacement Loader::replace(const Job& job, int64_t row, const BadSample& bad,
                                    const std::vector<std::byte*>& outs) const {
  const int64_t bad_id = samples_.source_id(job.positions[static_cast<size_t>(row)]);
  std::string last;
  for (int64_t attempt = 0; attempt < kReplacementAttempts; ++attempt) {
    const int64_t position =
        replacement_position(options_.seed, job.batch.epoch, bad_id, attempt, samples_.size());
    const int64_t id = samples_.source_id(position);
    try {
      rows_->make(position, job.key, outs);
      return {row, position, {bad_id, id, bad.kind(), bad.what()}};
    } catch (const BadSample& also_bad) {
      last = also_bad.what();
    }
  }
  throw DataError(std::string(bad.what()) + "; and " + std::to_string(kReplacementAttempts) +
                  " samples drawn in its place cannot be used either, the last: " + last +
                  ". Most of " + samples_.describe() + " seems to be gone or damaged: look there");
}

}  // namespace cltrain
