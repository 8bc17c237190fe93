// SGD and AdamW against torch.optim (make_golden_optim.py), LARS against a plain scalar loop.
#include "train/optimizer.h"

#include <cmath>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using Vector = std::vector<double>;

const std::map<std::string, std::vector<int64_t>> kShapes{
    {"w", {3, 4}}, {"b", {4}}, {"k", {2, 2, 2}}};
const std::map<std::string, double> kPhases{{"w", 0.1}, {"b", 0.2}, {"k", 0.3}};

int64_t count_of(const std::string& name) {
  int64_t count = 1;
  for (const int64_t extent : kShapes.at(name)) count *= extent;
  return count;
}

Vector start(const std::string& name) {
  Vector values;
  for (int64_t i = 0; i < count_of(name); ++i)
    values.push_back(std::sin(0.7 * static_cast<double>(i) + kPhases.at(name)));
  return values;
}

Vector gradient(const std::string& name, int step) {
  Vector values;
  for (int64_t i = 0; i < count_of(name); ++i)
    values.push_back(std::cos(0.3 * static_cast<double>(i) + 1.1 * step + kPhases.at(name)));
  return values;
}

double rate_of(int step) {
  return 0.1 / (1 + step);
}

at::Tensor shaped(const Vector& values, const std::string& name) {
  return at::tensor(values, at::kDouble).view(kShapes.at(name));
}

ParameterGroup make_group() {
  ParameterGroup group{"all", {}};
  for (const char* name : {"w", "b", "k"})
    group.parameters.emplace_back(name, shaped(start(name), name).requires_grad_());
  return group;
}

void set_gradients(const ParameterGroup& group, int step) {
  for (const auto& [name, parameter] : group.parameters)
    parameter.mutable_grad() = shaped(gradient(name, step), name);
}

std::map<std::string, Vector> read_golden() {
  std::map<std::string, Vector> all;
  std::ifstream file(CLTRAIN_TEST_FILES "/golden/optim.txt");
  std::string name;
  for (size_t count = 0; file >> name >> count;) {
    Vector& values = all[name];
    values.resize(count);
    for (double& value : values) file >> value;
  }
  return all;
}

void expect_near(const at::Tensor& found, const Vector& expected, double tolerance,
                 const std::string& what) {
  const at::Tensor flat = found.detach().reshape({-1});
  ASSERT_EQ(flat.numel(), static_cast<int64_t>(expected.size())) << what;
  for (int64_t i = 0; i < flat.numel(); ++i)
    EXPECT_NEAR(flat[i].item<double>(), expected[i], tolerance) << what << "[" << i << "]";
}

void expect_golden(const std::string& title, const OptimOptions& options) {
  const std::map<std::string, Vector> golden = read_golden();
  const ParameterGroup group = make_group();
  const auto optimizer = make_optimizer(options, group);
  for (int step = 0; step < 5; ++step) {
    set_gradients(group, step);
    optimizer->update(rate_of(step));
    if (step != 0 && step != 4) continue;
    for (const auto& [name, parameter] : group.parameters) {
      const std::string key = title + "." + std::to_string(step + 1) + "." + name;
      ASSERT_TRUE(golden.count(key)) << key;
      expect_near(parameter, golden.at(key), 1e-14, key);
    }
  }
}

TEST(Sgd, IsTorchs) {
  expect_golden("sgd", {.name = "sgd", .weight_decay = 0.01, .momentum = 0.9, .decay_all = true});
  expect_golden("sgd_plain", {.name = "sgd", .weight_decay = 0, .momentum = 0});
  expect_golden("nesterov",
                {.name = "sgd", .weight_decay = 0.01, .momentum = 0.9, .nesterov = true});
}

TEST(AdamW, IsTorchs) {
  expect_golden(
      "adamw",
      {.name = "adamw", .weight_decay = 0.05, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6});
  expect_golden("adamw_all", {.name = "adamw",
                              .weight_decay = 0.05,
                              .decay_all = true,
                              .beta1 = 0.9,
                              .beta2 = 0.999,
                              .epsilon = 1e-8});
}

double norm_of(const Vector& values) {
  double squares = 0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares);
}

/// v = m v + lr trust (g + wd w), w -= v; one-dimensional parameters: trust 1, no decay.
struct PlainLars {
  double momentum, eta, decay;
  Vector weights, velocity;
  bool adapted;

  void step(Vector gradient, double rate) {
    double trust = 1;
    if (adapted) {
      for (size_t i = 0; i < weights.size(); ++i) gradient[i] += decay * weights[i];
      const double weight_norm = norm_of(weights), gradient_norm = norm_of(gradient);
      if (weight_norm > 0 && gradient_norm > 0) trust = eta * weight_norm / gradient_norm;
    }
    for (size_t i = 0; i < weights.size(); ++i) {
      velocity[i] = momentum * velocity[i] + rate * trust * gradient[i];
      weights[i] -= velocity[i];
    }
  }
};

TEST(Lars, IsThePlainLoop) {
  for (const double decay : {0.0, 0.05})
    for (const bool decay_all : {false, true}) {  // of no meaning to LARS
      const OptimOptions options{.name = "lars",
                                 .weight_decay = decay,
                                 .momentum = 0.8,
                                 .decay_all = decay_all,
                                 .lars_eta = 0.02};
      const ParameterGroup group = make_group();
      const auto optimizer = make_optimizer(options, group);
      std::map<std::string, PlainLars> plain;
      for (const auto& [name, parameter] : group.parameters)
        plain[name] = {0.8, 0.02, decay, start(name), Vector(count_of(name), 0.0), name != "b"};
      for (int step = 0; step < 6; ++step) {
        set_gradients(group, step);
        optimizer->update(rate_of(step));
        for (const auto& [name, parameter] : group.parameters) {
          plain[name].step(gradient(name, step), rate_of(step));
          expect_near(parameter, plain[name].weights, 1e-14, name);
        }
      }
    }
}

TEST(Lars, TrustIsOneWhereANormIsZero) {
  const OptimOptions options{.name = "lars", .weight_decay = 0, .momentum = 0, .lars_eta = 0.001};
  ParameterGroup group{"all",
                       {{"zero_weight", at::zeros({2, 2}, at::kDouble).requires_grad_()},
                        {"zero_gradient", at::ones({2, 2}, at::kDouble).requires_grad_()}}};
  const auto optimizer = make_optimizer(options, group);
  group.parameters[0].second.mutable_grad() = at::ones({2, 2}, at::kDouble);
  group.parameters[1].second.mutable_grad() = at::zeros({2, 2}, at::kDouble);
  optimizer->update(0.5);
  EXPECT_TRUE(at::equal(group.parameters[0].second.detach(), at::full({2, 2}, -0.5, at::kDouble)));
  EXPECT_TRUE(at::equal(group.parameters[1].second.detach(), at::ones({2, 2}, at::kDouble)));
}

TEST(Optimizer, WorksOnBiasesAloneAndInFloat) {
  for (const char* name : {"sgd", "lars", "adamw"}) {
    ParameterGroup group{"g", {{"b", at::ones({5}, at::kFloat).requires_grad_()}}};
    const auto optimizer = make_optimizer({.name = name, .weight_decay = 0.5}, group);
    group.parameters[0].second.mutable_grad() = at::ones({5}, at::kFloat);
    optimizer->update(0.1);
    const at::Tensor expected = at::full({5}, 0.9, at::kFloat);
    EXPECT_TRUE(at::allclose(group.parameters[0].second.detach(), expected, 1e-6)) << name;
  }
}

/// The whole state of an optimiser copied into a fresh one continues bit for bit.
TEST(Optimizer, StateContinuesBitForBit) {
  for (const char* name : {"sgd", "lars", "adamw"}) {
    const OptimOptions options{.name = name, .weight_decay = 0.01};
    const ParameterGroup straight = make_group(), resumed = make_group();
    const auto first = make_optimizer(options, straight);
    for (int step = 0; step < 3; ++step) {
      set_gradients(straight, step);
      first->update(rate_of(step));
    }
    for (size_t i = 0; i < resumed.parameters.size(); ++i)
      resumed.parameters[i].second.detach().copy_(straight.parameters[i].second.detach());
    const auto second = make_optimizer(options, resumed);
    const auto from = first->state(), to = second->state();
    ASSERT_EQ(from.size(), to.size());
    std::set<std::string> names;
    for (size_t i = 0; i < from.size(); ++i) {
      EXPECT_EQ(from[i].first, to[i].first);
      EXPECT_EQ(from[i].first.rfind("all.", 0), 0u) << from[i].first;
      names.insert(from[i].first);
      at::Tensor(to[i].second).copy_(from[i].second);
    }
    EXPECT_EQ(names.size(), from.size());
    for (int step = 3; step < 6; ++step) {
      set_gradients(straight, step);
      set_gradients(resumed, step);
      first->update(rate_of(step));
      second->update(rate_of(step));
    }
    for (size_t i = 0; i < resumed.parameters.size(); ++i)
      EXPECT_TRUE(at::equal(resumed.parameters[i].second, straight.parameters[i].second)) << name;
  }
}

TEST(Optimizer, RefusesANameItDoesNotKnow) {
  EXPECT_THROW(make_optimizer({.name = "rmsprop"}, make_group()), c10::Error);
}

}  // namespace
}  // namespace cltrain
