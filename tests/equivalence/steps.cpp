#include "equivalence/steps.h"

#include "data/clicks/open_clicks.h"
#include "data/loader.h"
#include "data/sequences/sequence_rows.h"
#include "dist/gradient_sum.h"
#include "models/nets/layers.h"
#include "models/registry.h"
#include "support/pictures.h"
#include "support/ranks.h"
#include "support/sequence_lists.h"
#include "train/gradient_cache.h"
#include "train/optimizer.h"
#include "train/spread_state.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include <ATen/TensorOperators.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

namespace cltrain::testing {
namespace {

/// What one group of parameters is trained with.
struct Trained {
  ParameterGroup group;
  std::unique_ptr<Optimizer> optimizer;
};

using TrainedGroups = std::map<std::string, Trained>;

TrainedGroups trained_groups(Method& method, const OptimOptions& optim) {
  TrainedGroups all;
  for (const ParameterGroup& group : method.groups())
    all[group.name] = {group, make_optimizer(optim, group)};
  return all;
}

/// Every tensor whole, on every rank.
std::map<std::string, at::Tensor> copy_of_state(const Method& method, const TrainedGroups& groups,
                                                const Communicators& communicators) {
  std::map<std::string, at::Tensor> state;
  for (const StateTensor& item : model_state(method))
    state[item.name] = item.rows.empty()
                           ? item.tensor.detach().clone()
                           : communicators.control->all_gather(item.tensor, item.rows);
  for (const auto& [group, trained] : groups)
    for (const auto& [name, tensor] : trained.optimizer->state()) state[name] = tensor.clone();
  return state;
}

/// Pictures [b, 3, S, S] that move and change -> [b, 3, T, S, S].
at::Tensor as_clips(const at::Tensor& pictures, int64_t frames) {
  std::vector<at::Tensor> all;
  for (int64_t t = 0; t < frames; ++t)
    all.push_back(pictures.roll({t, 2 * t}, {2, 3}) * (0.4 + 0.2 * static_cast<double>(t % 5)));
  return at::stack(all, 2);
}

bool trains(const Phase& phase, const std::string& group) {
  return std::find(phase.groups.begin(), phase.groups.end(), group) != phase.groups.end();
}

constexpr int64_t kWindow = 8;  ///< items of a history that a recommender sees

/// Users of 4 to 15 items: short, as long as the window, and longer.
std::unique_ptr<SequenceSet> sequences_of(const Setting& setting) {
  if (setting.items == 0) return nullptr;
  Lists lists = drawn_lists(3, setting.samples, static_cast<int32_t>(setting.items), 12);
  for (size_t user = 0; user < lists.size(); ++user)
    lists[user].insert(lists[user].end(), {1, 2, 3 + static_cast<int32_t>(user) % 4});
  return std::make_unique<SequenceSet>(std::make_shared<const Interactions>(
      interactions_of(lists, static_cast<int32_t>(setting.items))));
}

std::unique_ptr<ClickSet> clicks_of(const Setting& setting) {
  if (!setting.clicks) return nullptr;
  std::vector<int64_t> rows(static_cast<size_t>(setting.samples));
  std::iota(rows.begin(), rows.end(), int64_t{0});
  return std::make_unique<ClickSet>(synthetic_clicks(100, kWindow).train->shared_table(),
                                    std::move(rows), "the first rows");
}

void freeze_others(const TrainedGroups& groups, const Phase& phase) {
  for (const auto& [name, other] : groups)
    for (const auto& [parameter_name, parameter] : other.group.parameters)
      at::Tensor(parameter).requires_grad_(trains(phase, name));
}

}  // namespace

Setting resnet18() {
  Setting setting;
  setting.method.model.name = "resnet18";
  setting.method.model.small_stem = true;
  setting.method.model.zero_init_residual = false;  // else half the gradients are zero at first
  setting.method.model.head_out = 32;
  setting.method.simclr.learn_temperature = true;
  setting.optim.name = "lars";
  setting.optim.lr = 0.5;
  return setting;
}

Setting small_conv() {
  Setting setting = resnet18();
  setting.method.model.name = "small_conv";
  setting.method.model.head_layers = 3;
  return setting;
}

Trace run_steps(const Setting& setting, const Communicators& communicators) {
  const int rank = communicators.control->rank(), size = communicators.control->size();
  const NoisePictures pictures(setting.samples, setting.image_size, setting.classes);
  const std::unique_ptr<SequenceSet> sequences = sequences_of(setting);
  const std::unique_ptr<ClickSet> clicks = clicks_of(setting);
  AugmentOptions views;
  views.size = setting.image_size;
  views.blur_kernel = 3;
  std::unique_ptr<const RowMaker> rows;
  if (clicks)
    rows = std::make_unique<ClickRows>(*clicks);
  else if (sequences)
    rows = std::make_unique<SequenceRows>(*sequences, kWindow);
  else
    rows = std::make_unique<ViewRows>(pictures, views, method_line(setting.method.name).views);
  const SampleSet& samples = clicks      ? static_cast<const SampleSet&>(*clicks)
                             : sequences ? static_cast<const SampleSet&>(*sequences)
                                         : pictures;
  Loader loader(samples,
                {.seed = 5,
                 .global_batch = setting.global_batch,
                 .micro_batch = setting.micro_batch,
                 .rank = rank,
                 .world_size = size},
                std::move(rows));
  const auto method = make_method(setting.method, 5, *communicators.loss,
                                  {.size = setting.image_size,
                                   .frames = setting.frames,
                                   .classes = setting.classes,
                                   .length = kWindow,
                                   .sequences = sequences.get(),
                                   .clicks = clicks ? &clicks->columns() : nullptr});
  move_to(*method, c10::kCPU, setting.type);
  TrainedGroups groups = trained_groups(*method, setting.optim);
  std::map<std::string, std::unique_ptr<GradientSum>> sums;  // by phase
  Trace trace;
  for (int64_t step = 0; step < setting.steps; ++step) {
    Batch batch = loader.next();
    for (auto& [name, tensor] : batch.tensors) {
      if (tensor.is_floating_point()) tensor = tensor.to(setting.type);
      if (setting.frames > 0) tensor = as_clips(tensor, setting.frames);
    }
    trace.cuts.push_back(batch.cut);
    StepContext context{communicators, 5, step, batch.epoch, batch.cut.rank_rows()};
    context.total_steps = setting.steps;
    context.last_of_epoch = (step + 1) % loader.steps_per_epoch() == 0;
    auto& gradients = trace.gradients.emplace_back();
    for (const Phase& phase : method->plan(step, setting.steps)) {
      freeze_others(groups, phase);
      std::vector<NamedTensor> parameters;
      for (const std::string& name : phase.groups)
        for (const NamedTensor& item : groups.at(name).group.parameters) parameters.push_back(item);
      auto& sum = sums[phase.name];
      if (!sum) sum = std::make_unique<GradientSum>(parameters, *communicators.gradients, 1 << 16);
      const LossShare loss =
          forward_backward(*method, phase, batch, context, /*autocast=*/false, *sum);
      sum->finish();
      at::Tensor total = at::tensor({loss.share.item<double>()}, at::kDouble);
      communicators.control->all_reduce_sum(total);
      trace.losses.push_back(total.item<double>());
      for (const auto& [name, parameter] : parameters) gradients[name] = parameter.grad().clone();
      for (const std::string& name : phase.groups)
        groups.at(name).optimizer->update(setting.optim.lr);
      commit_statistics(*method);
      method->after_phase(phase, batch, context);
    }
  }
  trace.state = copy_of_state(*method, groups, communicators);
  return trace;
}

std::optional<std::pair<Trace, Trace>> on_all_ranks_and_alone(const Setting& setting) {
  Trace shared = run_steps(setting, all_ranks());
  if (world().rank != 0) return std::nullopt;
  const auto solo = alone();
  return std::pair(std::move(shared), run_steps(setting, *solo));
}

void expect_same_trace(const Trace& a, const Trace& b, double tolerance) {
  ASSERT_EQ(a.losses.size(), b.losses.size());
  for (size_t i = 0; i < a.losses.size(); ++i)
    EXPECT_NEAR(a.losses[i], b.losses[i], tolerance * std::abs(b.losses[i])) << "phase " << i + 1;
  ASSERT_EQ(a.gradients.size(), b.gradients.size());
  for (size_t step = 0; step < a.gradients.size(); ++step) {
    SCOPED_TRACE("step " + std::to_string(step + 1));
    expect_same_gradients(a.gradients[step], b.gradients[step], tolerance);
    if (a.gradients[step].contains("log_scale")) {
      EXPECT_GT(a.gradients[step].at("log_scale").abs().item<double>(), 0);
    }
  }
  expect_same_state(a.state, b.state, tolerance);
}

void expect_same_gradients(const std::map<std::string, at::Tensor>& a,
                           const std::map<std::string, at::Tensor>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  double squares = 0;
  for (const auto& [name, tensor] : b) squares += std::pow(tensor.norm().item<double>(), 2);
  ASSERT_GT(squares, 0) << "no gradient at all: the test shows nothing";
  for (const auto& [name, tensor] : a)
    EXPECT_LE(relative_difference(tensor, b.at(name), std::sqrt(squares)), tolerance) << name;
}

void expect_same_state(const std::map<std::string, at::Tensor>& a,
                       const std::map<std::string, at::Tensor>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a)
    EXPECT_LE(relative_difference(tensor.to(at::kDouble), b.at(name).to(at::kDouble), 1), tolerance)
        << name;
}

void expect_equivalent(const Setting& setting) {
  if (const auto traces = on_all_ranks_and_alone(setting))
    expect_same_trace(traces->first, traces->second, 1e-9);
}

void expect_same_bits_on_every_rank(const std::map<std::string, at::Tensor>& state) {
  for (const auto& [name, tensor] : state) {
    at::Tensor first = tensor.contiguous().clone();
    all_ranks().control->broadcast(first, 0);
    EXPECT_TRUE(tensor.equal(first)) << name;
  }
}

}  // namespace cltrain::testing
