#include "train/trainer.h"

#include "dist/device_memory.h"
#include "dist/exit_codes.h"
#include "models/nets/layers.h"
#include "train/dtype.h"
#include "train/files.h"
#include "train/gradient_cache.h"
#include "train/health.h"
#include "train/ids_hash.h"
#include "train/schedule.h"
#include "train/signals.h"
#include "train/summary.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>

namespace cltrain {

Trainer::Trainer(TrainerParts parts)
    : parts_(std::move(parts)),
      total_steps_(cltrain::total_steps(parts_.options.train, parts_.loader.steps_per_epoch())),
      peak_learning_rate_(
          cltrain::peak_learning_rate(parts_.options.optim, parts_.options.train.global_batch)),
      best_(parts_.method, parts_.options.train.patience),
      work_(parts_.communicators) {
  counters_["training_samples"] = parts_.training_samples;
  for (const ParameterGroup& group : parts_.method.groups()) {
    groups_[group.name] = group;
    optimizers_[group.name] = make_optimizer(parts_.options.optim, group);
  }
}

int Trainer::run() {
  parts_.method.train();
  // Baselines where they are asked for, or what a kill took from the step the run continues at.
  if (counters_["step"] == 0)
    evaluate(Evaluation::When::kStart);
  else if (counters_["step"] < total_steps_ && evaluation_due(counters_["step"]))
    evaluate(Evaluation::When::kDuring);
  parts_.sinks.state("training");
  work_.take_busy_seconds();
  while (counters_["step"] < total_steps_ && !stop_ && !best_.give_up()) {
    parts_.sinks.step(step());
    const int64_t done = counters_["step"];
    if (done == total_steps_ || stop_)
      save_for_sure();
    else if (done % parts_.options.checkpoint.every == 0)
      save();
    if (evaluation_due(done) && done < total_steps_ && !stop_) evaluate(Evaluation::When::kDuring);
  }
  if (counters_["step"] < total_steps_ && !best_.give_up()) return kStoppedWithCheckpoint;
  save_for_sure();
  evaluate_at_the_end();
  write_summary();
  return kDone;
}

StepRecord Trainer::step() {
  const auto started = std::chrono::steady_clock::now();
  clock_.enter("data");
  const int64_t ready = parts_.loader.ready();
  const Batch batch = next_batch();
  const int64_t number = counters_["step"];
  const bool measure = (number + 1) % parts_.metrics.every == 0;
  StepContext context{.communicators = parts_.communicators,
                      .seed = static_cast<uint64_t>(parts_.options.run.seed),
                      .step = number,
                      .epoch = batch.epoch,
                      .rows = batch.cut.rank_rows(),
                      .enter = [this](const char* phase) { clock_.enter(phase); },
                      .total_steps = total_steps_,
                      .last_of_epoch = (number + 1) % parts_.loader.steps_per_epoch() == 0};
  StepRecord record{.step = number + 1, .epoch = batch.epoch, .samples = batch.global_rows};
  record.batches_ready = ready;
  record.ids_hash = hash_of_ids(global_ids(batch));
  record.learning_rate = learning_rate(parts_.options.optim, peak_learning_rate_, number,
                                       total_steps_, parts_.loader.steps_per_epoch());
  Verdict verdict;
  double gradient_square = 0, parameter_square = 0;
  std::vector<at::Tensor> embeddings;  // of the last phase
  std::vector<std::string> updated;    // phases
  for (const Phase& phase : parts_.method.plan(number, total_steps_)) {
    freeze_others(phase);
    GradientSum& gradients = gradients_of(phase);
    const LossShare loss = forward_backward(parts_.method, phase, batch, context,
                                            parts_.options.run.autocast == "bfloat16", gradients);
    clock_.enter("reduce");
    warn_of_unreached(gradients.finish());
    const double gradient_norm = norm_of(gradients_of_groups(phase.groups));
    gradient_square += gradient_norm * gradient_norm;
    verdict = agree(loss.share, gradient_norm, batch);
    embeddings = loss.embeddings;
    record.scalars.insert(record.scalars.end(), loss.scalars.begin(), loss.scalars.end());
    if (!verdict.finite) break;
    if (measure) {
      const double norm = norm_of(parameters_of_groups(phase.groups));
      parameter_square += norm * norm;
      const NamedValues measures =
          similarity_measures(loss.embeddings, batch.cut, *parts_.communicators.control);
      record.similarity.insert(record.similarity.end(), measures.begin(), measures.end());
    }
    clock_.enter("optimizer");
    for (const std::string& group : phase.groups)
      optimizers_.at(group)->update(record.learning_rate);
    commit_statistics(parts_.method);
    parts_.method.after_phase(phase, batch, context);
    updated.push_back(phase.name);
  }
  if (verdict.replaced_rows)
    for (const auto& [kind, count] : parts_.bad_samples.note(batch.replaced, number + 1))
      record.data_errors.emplace_back(kind, static_cast<double>(count));
  counters_["step"] += 1;
  counters_["samples"] += batch.global_rows;
  stop_ = stop_ || verdict.stop;
  record.loss = verdict.loss;
  record.gradient_norm = std::sqrt(gradient_square);
  record.parameter_norm = std::sqrt(parameter_square);
  record.slowest_rank = verdict.slowest_rank;
  record.slowest_lag_seconds = verdict.slowest_lag_seconds;
  record.refused = !verdict.finite;
  if (record.refused) refuse(batch, verdict.loss, embeddings, updated);
  record.step_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  record.samples_per_second = static_cast<double>(batch.global_rows) / record.step_seconds;
  record.phase_seconds = clock_.take();
  record.communication_bytes = work_.take_bytes();
  record.resident_bytes = resident_bytes();
  record.device_bytes = device_memory_bytes(parts_.world);
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
  std::string unreached;
  for (const std::string& name : names)
    if (!parts_.method.may_rest(name)) unreached += " " + name;
  if (unreached.empty() || warned_of_unreached_) return;
  parts_.sinks.message("WARNING: the loss does not depend on these parameters:" + unreached);
  warned_of_unreached_ = true;
}

Batch Trainer::next_batch() {
  Batch batch = parts_.loader.next();
  clock_.enter("host_to_device");
  const at::ScalarType type = scalar_type_of(parts_.options.run);
  for (auto& [name, tensor] : batch.tensors)
    tensor =
        tensor.to(parts_.world.device, tensor.is_floating_point() ? type : tensor.scalar_type());
  return batch;
}

// The one small exchange a step: each rank's share of the loss, whether it saw a value that is not
// finite, was asked to stop, or had samples replaced, and how long it worked since the exchange
// before. Every rank reads the same table, row by row in rank order, so all decide alike.
Trainer::Verdict Trainer::agree(const at::Tensor& share, double gradient_norm, const Batch& batch) {
  enum Column { kLoss, kNotFinite, kStop, kReplaced, kBusy, kColumns };
  const auto loss = share.item<double>();
  const bool finite = std::isfinite(loss) && std::isfinite(gradient_norm);
  const at::Tensor mine =
      at::tensor({loss, finite ? 0.0 : 1.0, stop_requested() ? 1.0 : 0.0,
                  batch.replaced.empty() ? 0.0 : 1.0, work_.take_busy_seconds()},
                 at::TensorOptions().dtype(at::kDouble));
  const Communicator& control = *parts_.communicators.control;
  const at::Tensor all = control.all_gather_each(mine);
  work_.take_busy_seconds();  // what this exchange took is nobody's work
  Verdict verdict;
  double slowest = -1, total = 0;
  for (int rank = 0; rank < control.size(); ++rank) {
    const double* row = all.const_data_ptr<double>() + rank * kColumns;
    verdict.loss += row[kLoss];
    verdict.finite = verdict.finite && row[kNotFinite] == 0;
    verdict.stop = verdict.stop || row[kStop] > 0;
    verdict.replaced_rows = verdict.replaced_rows || row[kReplaced] > 0;
    total += row[kBusy];
    if (row[kBusy] > slowest) {
      slowest = row[kBusy];
      verdict.slowest_rank = rank;
    }
  }
  verdict.finite = verdict.finite && std::isfinite(verdict.loss);
  verdict.slowest_lag_seconds = slowest - total / control.size();
  return verdict;
}

std::vector<at::Tensor> Trainer::parameters_of_groups(const std::vector<std::string>& names) const {
  std::vector<at::Tensor> parameters;
  for (const std::string& name : names)
    for (const auto& [parameter_name, parameter] : groups_.at(name).parameters)
      parameters.push_back(parameter.detach());
  return parameters;
}

std::vector<at::Tensor> Trainer::gradients_of_groups(const std::vector<std::string>& names) const {
  std::vector<at::Tensor> gradients;
  for (const std::string& name : names)
    for (const auto& [parameter_name, parameter] : groups_.at(name).parameters)
      if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  return gradients;
}

at::Tensor Trainer::in_global_order(const Batch& batch, const at::Tensor& local) const {
  const at::Tensor gathered =
      parts_.communicators.control->all_gather(local, batch.cut.rank_rows());
  return gathered.index_select(0, at::tensor(batch.cut.gathered_places(), at::kLong));
}

at::Tensor Trainer::global_ids(const Batch& batch) const {
  return in_global_order(batch, batch.ids);
}

bool Trainer::evaluation_due(int64_t step) const {
  return parts_.evaluation.due(step, parts_.loader.steps_per_epoch());
}

void Trainer::evaluate(Evaluation::When when) {
  clock_.enter("evaluation");
  parts_.sinks.state("evaluating");
  parts_.method.eval();
  const std::vector<EvaluationRecord> records =
      parts_.evaluation.measure(parts_.method, counters_["step"], when);
  for (const EvaluationRecord& record : records) parts_.sinks.evaluation(record);
  if (const auto merit = parts_.evaluation.merit(records); merit && best_.kept())
    best_.note(parts_.method, *merit, counters_["step"]);
  parts_.method.train();
  parts_.sinks.state("training");
  work_.take_busy_seconds();
}

// The last weights may be the best; what is reported are the best one's. The checkpoint that stays
// knows both.
void Trainer::evaluate_at_the_end() {
  if (best_.kept()) {
    if (!best_.give_up()) evaluate(Evaluation::When::kDuring);
    saved_step_ = -1;
    save_for_sure();
    best_.restore(parts_.method);
  }
  evaluate(Evaluation::When::kEnd);
}

}  // namespace cltrain
