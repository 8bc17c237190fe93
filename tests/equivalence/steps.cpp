#include "equivalence/steps.h"

#include "data/loader.h"
#include "dist/gradient_sum.h"
#include "models/nets/layers.h"
#include "models/registry.h"
#include "support/pictures.h"
#include "support/ranks.h"
#include "train/gradient_cache.h"
#include "train/optimizer.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

namespace cltrain::testing {
namespace {

std::map<std::string, at::Tensor> copy_of_state(const Method& method, const Optimizer& optimizer) {
  std::map<std::string, at::Tensor> state;
  for (const auto& item : method.named_parameters())
    state[item.key()] = item.value().detach().clone();
  for (const auto& item : method.named_buffers()) state[item.key()] = item.value().detach().clone();
  for (const auto& [name, tensor] : optimizer.state()) state[name] = tensor.clone();
  return state;
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
  const NoisePictures pictures(setting.samples, setting.image_size);
  AugmentOptions views;
  views.size = setting.image_size;
  views.blur_kernel = 3;
  Loader loader(pictures,
                {.seed = 5,
                 .global_batch = setting.global_batch,
                 .micro_batch = setting.micro_batch,
                 .rank = rank,
                 .world_size = size},
                views);
  const auto method =
      make_method(setting.method, 5, *communicators.loss, {.size = setting.image_size});
  move_to(*method, c10::kCPU, setting.type);
  const ParameterGroup group = method->groups().at(0);
  const auto optimizer = make_optimizer(setting.optim, group);
  GradientSum sum(group.parameters, *communicators.gradients, 1 << 16);
  Trace trace;
  for (int64_t step = 0; step < setting.steps; ++step) {
    Batch batch = loader.next();
    for (auto& [name, tensor] : batch.tensors) tensor = tensor.to(setting.type);
    const StepContext context{communicators, 5, step, batch.epoch, batch.cut.rank_rows()};
    const Phase phase = method->plan(step).at(0);
    const LossShare loss =
        forward_backward(*method, phase, batch, context, /*autocast=*/false, sum);
    sum.finish();
    at::Tensor total = at::tensor({loss.share.item<double>()}, at::kDouble);
    communicators.control->all_reduce_sum(total);
    trace.losses.push_back(total.item<double>());
    trace.cuts.push_back(batch.cut);
    auto& gradients = trace.gradients.emplace_back();
    for (const auto& [name, parameter] : group.parameters)
      gradients[name] = parameter.grad().clone();
    optimizer->update(setting.optim.lr);
    commit_statistics(*method);
    method->after_phase(phase, batch, context);
  }
  trace.state = copy_of_state(*method, *optimizer);
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
  for (size_t step = 0; step < a.losses.size(); ++step) {
    SCOPED_TRACE("step " + std::to_string(step + 1));
    EXPECT_NEAR(a.losses[step], b.losses[step], tolerance * b.losses[step]);
    expect_same_gradients(a.gradients[step], b.gradients[step], tolerance);
    EXPECT_GT(a.gradients[step].at("log_scale").abs().item<double>(), 0);
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
    EXPECT_LE(relative_difference(tensor.to(at::kDouble), b.at(name).to(at::kDouble)), tolerance)
        << name;
}

void expect_same_bits_on_every_rank(const std::map<std::string, at::Tensor>& state) {
  for (const auto& [name, tensor] : state) {
    at::Tensor first = tensor.contiguous().clone();
    all_ranks().control->broadcast(first, 0);
    EXPECT_TRUE(tensor.equal(first)) << name;
  }
}

}  // namespace cltrain::testing
