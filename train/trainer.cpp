#include "train/trainer.h"

#include "data/sampler.h"
#include "dist/exit_codes.h"
#include "models/nets/layers.h"
#include "train/autocast.h"
#include "train/digest.h"
#include "train/files.h"
#include "train/ids_hash.h"
#include "train/schedule.h"
#include "train/signals.h"
#include "train/summary.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

namespace cltrain {

Trainer::Trainer(TrainerParts parts)
    : parts_(std::move(parts)),
      total_steps_(cltrain::total_steps(parts_.options.train, parts_.loader.steps_per_epoch())),
      peak_learning_rate_(
          cltrain::peak_learning_rate(parts_.options.optim, parts_.options.train.global_batch)) {
  counters_["training_samples"] = parts_.training_samples;
  for (const ParameterGroup& group : parts_.method.groups()) {
    groups_[group.name] = group;
    optimizers_[group.name] = make_optimizer(parts_.options.optim, group);
  }
}

int Trainer::run() {
  parts_.method.train();
  // Baselines where they are asked for, or what a kill took from the step the run continues at.
  if (counters_["step"] < total_steps_) evaluate();
  while (counters_["step"] < total_steps_ && !stop_) {
    parts_.sinks.step(step());
    const int64_t done = counters_["step"];
    if (done % parts_.options.checkpoint.every == 0 || done == total_steps_ || stop_) save();
    if (parts_.evaluation.due(done) && done < total_steps_ && !stop_) evaluate();
  }
  if (counters_["step"] < total_steps_) return kStoppedWithCheckpoint;
  if (saved_step_ != total_steps_) save();
  evaluate();
  write_summary();
  return kDone;
}

StepRecord Trainer::step() {
  const auto started = std::chrono::steady_clock::now();
  clock_.enter("data");
  const Batch batch = next_batch();
  const int64_t number = counters_["step"];
  StepContext context{.communicators = parts_.communicators,
                      .seed = static_cast<uint64_t>(parts_.options.run.seed),
                      .step = number,
                      .epoch = batch.epoch,
                      .rows = share_counts(batch.global_rows, parts_.world.size),
                      .enter = [this](const char* phase) { clock_.enter(phase); }};
  StepRecord record{.step = number + 1, .epoch = batch.epoch, .samples = batch.global_rows};
  record.ids_hash = hash_of_ids(global_ids(batch));
  record.learning_rate = learning_rate(parts_.options.optim, peak_learning_rate_, number,
                                       total_steps_, parts_.loader.steps_per_epoch());
  Verdict verdict;
  for (const Phase& phase : parts_.method.plan(number)) {
    GradientSum& gradients = gradients_of(phase);
    freeze_others(phase);
    gradients.zero();
    gradients.arm();
    clock_.enter("forward");
    const LossShare loss = [&] {
      const AutocastGuard autocast(parts_.world.device.type(),
                                   parts_.options.run.autocast == "bfloat16");
      return parts_.method.loss(phase, batch, context);
    }();
    clock_.enter("backward");
    loss.share.backward();
    clock_.enter("reduce");
    warn_of_unreached(gradients.finish());
    verdict = agree(loss.share);
    record.scalars.insert(record.scalars.end(), loss.scalars.begin(), loss.scalars.end());
    if (!verdict.finite) break;
    clock_.enter("optimizer");
    for (const std::string& group : phase.groups)
      optimizers_.at(group)->update(record.learning_rate);
    commit_statistics(parts_.method);
    parts_.method.after_phase(phase, batch, context);
  }
  counters_["step"] += 1;
  counters_["samples"] += batch.global_rows;
  stop_ = stop_ || verdict.stop;
  record.loss = verdict.loss;
  record.refused = !verdict.finite;
  if (record.refused) refuse(batch, verdict.loss);
  record.step_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  record.samples_per_second = static_cast<double>(batch.global_rows) / record.step_seconds;
  record.phase_seconds = clock_.take();
  session_samples_ += batch.global_rows;
  session_seconds_ += record.step_seconds;
  return record;
}

GradientSum& Trainer::gradients_of(const Phase& phase) {
  std::unique_ptr<GradientSum>& sum = gradients_[phase.name];
  if (!sum) {
    std::vector<NamedTensor> parameters;
    for (const std::string& name : phase.groups)
      for (const NamedTensor& item : groups_.at(name).parameters) parameters.push_back(item);
    sum = std::make_unique<GradientSum>(parameters, *parts_.communicators.gradients);
  }
  return *sum;
}

// Networks a phase only passes through collect no gradient.
void Trainer::freeze_others(const Phase& phase) {
  for (auto& [name, group] : groups_) {
    const bool trained =
        std::find(phase.groups.begin(), phase.groups.end(), name) != phase.groups.end();
    for (auto& [parameter_name, parameter] : group.parameters) parameter.requires_grad_(trained);
  }
}

void Trainer::warn_of_unreached(const std::vector<std::string>& names) {
  if (names.empty() || warned_of_unreached_) return;
  std::string text = "WARNING: the loss does not depend on these parameters:";
  for (const std::string& name : names) text += " " + name;
  parts_.sinks.message(text);
  warned_of_unreached_ = true;
}

Batch Trainer::next_batch() {
  Batch batch = parts_.loader.next();
  const auto type = parts_.options.run.dtype == "float64" ? at::kDouble : at::kFloat;
  for (auto& [name, tensor] : batch.tensors)
    tensor =
        tensor.to(parts_.world.device, tensor.is_floating_point() ? type : tensor.scalar_type());
  return batch;
}

// The one small all-reduce a step: the total loss, whether any rank saw a value that is not finite,
// and whether any rank was asked to stop.
Trainer::Verdict Trainer::agree(const at::Tensor& share) {
  const auto loss = share.item<double>();
  const bool finite = std::isfinite(loss) && std::isfinite(gradient_norm());
  at::Tensor flags = at::tensor({loss, finite ? 0.0 : 1.0, stop_requested() ? 1.0 : 0.0},
                                at::TensorOptions().dtype(at::kDouble));
  parts_.communicators.control->all_reduce_sum(flags);
  const auto* all = flags.const_data_ptr<double>();
  return {.loss = all[0], .finite = all[1] == 0 && std::isfinite(all[0]), .stop = all[2] > 0};
}

double Trainer::gradient_norm() const {
  std::vector<at::Tensor> gradients;
  for (const auto& [name, group] : groups_)
    for (const auto& [parameter_name, parameter] : group.parameters)
      if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  return at::stack(at::_foreach_norm(gradients)).norm().item<double>();
}

// No update was made and the norms forget the batch. Its ids are written so that it can be looked
// at, then the run goes on or ends, as train.max_skipped_steps says.
void Trainer::refuse(const Batch& batch, double loss) {
  discard_statistics(parts_.method);
  const int64_t allowed = parts_.options.train.max_skipped_steps;
  const int64_t skipped = ++counters_["skipped_steps"];
  const std::string file = "nonfinite-step-" + std::to_string(counters_["step"]) + ".json";
  const at::Tensor ids = global_ids(batch);
  if (parts_.world.rank == 0)
    replace_file_durably(parts_.run_dir / file, nonfinite_report(counters_["step"], loss, ids));
  const std::string what = "step " + std::to_string(counters_["step"]) +
                           ": the loss or a gradient is not finite (loss " + std::to_string(loss) +
                           "); no update was made; the ids of its batch are in " +
                           (parts_.run_dir / file).string();
  if (skipped > allowed)
    throw NonFinite(what + ". " + std::to_string(skipped) + " step(s) refused, allowed are " +
                    std::to_string(allowed) +
                    ": lower optim.lr, look at the data, or let more be skipped with "
                    "train.max_skipped_steps=" +
                    std::to_string(skipped));
  parts_.sinks.message(what + ". Skipped (" + std::to_string(skipped) + " of at most " +
                       std::to_string(allowed) + ")");
}

at::Tensor Trainer::global_ids(const Batch& batch) const {
  return parts_.communicators.control->all_gather(
      batch.ids, share_counts(batch.global_rows, parts_.world.size));
}

std::vector<NamedTensor> Trainer::state() const {
  std::vector<NamedTensor> all;
  for (const auto& item : parts_.method.named_parameters())
    all.emplace_back("model." + item.key(), item.value());
  for (const auto& item : parts_.method.named_buffers())
    all.emplace_back("model." + item.key(), item.value());
  for (const auto& [name, optimizer] : optimizers_)
    for (const NamedTensor& item : optimizer->state())
      all.emplace_back("optim." + item.first, item.second);
  return all;
}

Trainer::Resumed Trainer::resume() {
  const Communicator& control = *parts_.communicators.control;
  Resumed resumed;
  if (parts_.world.rank == 0) {
    if (const auto found = parts_.checkpoints.newest()) {
      parts_.checkpoints.load(*found, state());
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
  const c10::NoGradGuard no_grad;
  for (const NamedTensor& item : state()) {
    const bool on_device = item.second.device().is_cuda();
    const at::Tensor whole = item.second.detach().contiguous();
    (on_device ? *parts_.communicators.gradients : control).broadcast(whole);
    if (!whole.is_alias_of(item.second)) item.second.detach().copy_(whole);
  }
  saved_step_ = counters_["step"] > 0 ? counters_["step"] : -1;
  parts_.loader.seek(counters_["step"]);
  resumed.step = counters_["step"];
  return resumed;
}

void Trainer::save() {
  if (saved_step_ == counters_["step"]) return;
  clock_.enter("checkpoint");
  const auto started = std::chrono::steady_clock::now();
  // Rank 0 writes; a failure there ends every rank, so the others wait to hear that all went well.
  if (parts_.world.rank == 0) {
    const auto [folder, bytes] = parts_.checkpoints.save({counters_, state(), parts_.environment});
    parts_.sinks.checkpoint(
        {.step = counters_["step"],
         .path = folder.string(),
         .seconds =
             std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count()});
  }
  parts_.communicators.control->barrier();
  saved_step_ = counters_["step"];
}

void Trainer::evaluate() {
  clock_.enter("evaluation");
  parts_.method.eval();
  for (const EvaluationRecord& record : parts_.evaluation.measure(
           parts_.method, counters_["step"], counters_["step"] == total_steps_))
    parts_.sinks.evaluation(record);
  parts_.method.train();
}

void Trainer::write_summary() {
  const Communicator& control = *parts_.communicators.control;
  at::Tensor peak = at::full({1}, peak_rss_bytes(), at::kLong);
  control.all_reduce_max(peak);
  if (parts_.world.rank == 0) {
    Summary summary{.method = parts_.method_name, .config = parts_.config_name};
    summary.ranks = parts_.world.size;
    summary.global_batch = parts_.options.train.global_batch;
    summary.negatives_per_anchor =
        parts_.method.negatives_per_anchor(std::min(summary.global_batch, parts_.training_samples));
    summary.steps = counters_["step"];
    summary.samples_seen = counters_["samples"];
    summary.skipped_steps = counters_["skipped_steps"];
    summary.samples_per_second =
        session_seconds_ > 0 ? static_cast<double>(session_samples_) / session_seconds_ : 0;
    summary.peak_rss_bytes = peak.item<int64_t>();
    summary.state_sha256 = sha256_of_state(state(), counters_);
    write_summary_file(parts_.run_dir, summary);
  }
  control.barrier();
}

}  // namespace cltrain
