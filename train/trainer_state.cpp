// Trainer, the part that keeps: state, resume, checkpoints, summary. The loop is in trainer.cpp.
#include "dist/device_memory.h"
#include "train/digest.h"
#include "train/files.h"
#include "train/summary.h"
#include "train/trainer.h"

#include <algorithm>
#include <thread>

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>

namespace cltrain {

std::vector<StateTensor> Trainer::state() const {
  std::vector<StateTensor> all = model_state(parts_.method);
  for (const auto& [name, optimizer] : optimizers_)
    for (const NamedTensor& item : optimizer->state())
      all.push_back({"optim." + item.first, item.second, {}});
  for (const StateTensor& item : best_.state()) all.push_back(item);
  return all;
}

Trainer::Resumed Trainer::resume() {
  const Communicator& control = *parts_.communicators.control;
  Resumed resumed;
  std::vector<StateTensor> live = state();
  std::vector<NamedTensor> whole;
  if (parts_.world.rank == 0) {
    whole = room_for_state(live);
    if (const auto found = parts_.checkpoints.newest()) {
      parts_.checkpoints.load(*found, whole);
      counters_ = found->counters;
      if (counters_["training_samples"] != parts_.training_samples)
        throw CheckpointError("the run in " + parts_.run_dir.string() + " was trained on " +
                              std::to_string(counters_["training_samples"]) +
                              " samples, the data set now has " +
                              std::to_string(parts_.training_samples) +
                              ": its epochs would move; restore the data (data.root), or start a "
                              "new run with run.dir=...");
      for (const auto& [name, value] : found->environment)
        if (parts_.environment[name] != value)
          resumed.notes.push_back(name + " was " + value + ", is now " + parts_.environment[name] +
                                  ": the continued run is the same in mathematics, not in every "
                                  "bit");
    }
  }
  for (auto& [name, value] : counters_) {
    const at::Tensor shared = at::full({1}, value, at::kLong);
    control.broadcast(shared);
    value = shared.item<int64_t>();
  }
  // At the start every rank has made its rows of a queue itself.
  if (counters_["step"] == 0)
    std::erase_if(live, [](const StateTensor& item) { return !item.rows.empty(); });
  spread_state(live, whole, parts_.communicators);
  saved_step_ = counters_["step"] > 0 ? counters_["step"] : -1;
  parts_.loader.seek(counters_["step"]);
  resumed.step = counters_["step"];
  return resumed;
}

// Rank 0 writes; all hear whether it went well. A run outlives a full disk or a folder that is gone
// for a while: it goes on and tries again at the next checkpoint.
bool Trainer::save() {
  if (saved_step_ == counters_["step"]) return true;
  clock_.enter("checkpoint");
  parts_.sinks.state("checkpointing");
  const auto started = std::chrono::steady_clock::now();
  std::string failure;
  const std::vector<NamedTensor> whole = whole_state(state(), parts_.communicators);
  if (parts_.world.rank == 0) {
    try {
      parts_.bad_samples.flush();
      parts_.sinks.flush();  // the steps a checkpoint holds are on record before it is visible
      const auto [folder, bytes] = parts_.checkpoints.save({counters_, whole, parts_.environment});
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
      parts_.sinks.checkpoint({.step = counters_["step"],
                               .path = folder.string(),
                               .seconds = seconds.count(),
                               .bytes = bytes});
    } catch (const IoError& error) {
      failure = error.what();
    } catch (const RecordError& error) {
      failure = error.what();
    }
  }
  const bool failed =
      parts_.communicators.control->all_gather_count(failure.empty() ? 0 : 1).front() != 0;
  parts_.sinks.state("training");
  if (!failed) {
    saved_step_ = counters_["step"];
    failed_saves_ = 0;
    return true;
  }
  const int64_t allowed = parts_.options.checkpoint.max_failures;
  const std::string count = std::to_string(++failed_saves_) + " of at most " +
                            std::to_string(allowed) + " failures in a row";
  if (failed_saves_ >= allowed)
    throw IoError("step " + std::to_string(counters_["step"]) + ": " + failure + " (" + count +
                  "). The run ends at its last good checkpoint; make room or restore the folder, "
                  "then run the same command again (checkpoint.max_failures allows more)");
  parts_.sinks.write_failure("WARNING: step " + std::to_string(counters_["step"]) + ": " + failure +
                             " (" + count + "); training goes on and tries again");
  return false;
}

// The last checkpoint of a session has no next one that could make good for it.
void Trainer::save_for_sure() {
  for (int seconds = 1; !save(); seconds = std::min(2 * seconds, 16))
    std::this_thread::sleep_for(std::chrono::seconds(seconds));
}

void Trainer::write_summary() {
  const Communicator& control = *parts_.communicators.control;
  at::Tensor peak = at::full({1}, peak_rss_bytes(), at::kLong);
  control.all_reduce_max(peak);
  const std::vector<NamedTensor> whole = whole_state(state(), parts_.communicators);
  if (parts_.world.rank == 0) {
    Summary summary{.method = parts_.method_name, .config = parts_.config_name};
    summary.ranks = parts_.world.size;
    summary.global_batch = parts_.options.train.global_batch;
    summary.negatives_per_anchor =
        parts_.method.negatives_per_anchor(std::min(summary.global_batch, parts_.training_samples));
    summary.steps = counters_["step"];
    summary.samples_seen = counters_["samples"];
    summary.skipped_steps = counters_["skipped_steps"];
    summary.best_step = best_.kept() ? best_.step() : -1;
    summary.stopped_early = best_.give_up();
    summary.samples_per_second =
        session_seconds_ > 0 ? static_cast<double>(session_samples_) / session_seconds_ : 0;
    summary.peak_rss_bytes = peak.item<int64_t>();
    summary.state_sha256 = sha256_of_state(whole, counters_);
    write_summary_file(parts_.run_dir, summary);
  }
  control.barrier();
}

}  // namespace cltrain
