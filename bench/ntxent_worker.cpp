#include "bench/ntxent_worker.h"

#include "bench/ntxent_floor.h"
#include "bench/ntxent_methods.h"
#include "bench/ntxent_system.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scalar_tensor.h>

namespace cltrain::ntxent {
namespace {

constexpr double kTemperature = 0.1;
constexpr double kTimedSeconds = 0.5;
constexpr int kMostRuns = 10;
// Larger cases warm up at this size: their own first touch of memory is short beside their work.
constexpr int64_t kMostWarmUpImages = 8192;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

at::Tensor unit_rows(const at::Tensor& x) {
  return x / x.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
}

/// The rows of rank r are floor(rN/R) up to floor((r+1)N/R).
std::vector<int64_t> rows_of_ranks(int64_t images, int ranks) {
  std::vector<int64_t> rows;
  for (int rank = 0; rank < ranks; ++rank)
    rows.push_back((rank + 1) * images / ranks - rank * images / ranks);
  return rows;
}

// The same numbers as in ntxent_peers.py: torch's generator, seed 1.
Inputs make_inputs(const Case& one, int64_t images, const Communicator& communicator) {
  at::manual_seed(1);
  const double noise = 0.5 / std::sqrt(static_cast<double>(one.width));
  const at::Tensor view0 = unit_rows(at::randn({images, one.width}));
  const at::Tensor view1 = unit_rows(view0 + noise * at::randn({images, one.width}));
  const std::vector<int64_t> rows = rows_of_ranks(images, communicator.size());
  const int64_t first = communicator.rank() * images / communicator.size();
  const auto mine = [&](const at::Tensor& view) {
    return view.narrow(0, first, rows[communicator.rank()]).clone().set_requires_grad(true);
  };
  return {mine(view0),
          mine(view1),
          at::scalar_tensor(kTemperature, at::kDouble).set_requires_grad(true),
          rows,
          communicator,
          one.type == "bfloat16"};
}

double largest_of_ranks(double value, const Communicator& communicator) {
  at::Tensor number = at::full({1}, value, at::kDouble);
  communicator.all_reduce_max(number);
  return number.item<double>();
}

double sum_of_ranks(const at::Tensor& value, const Communicator& communicator) {
  at::Tensor number = value.detach().to(at::kDouble).reshape({1}).clone();
  communicator.all_reduce_sum(number);
  return number.item<double>();
}

/// Squared norm of the gradient's part along the sphere.
at::Tensor along_sphere(const at::Tensor& gradient, const at::Tensor& z) {
  const at::Tensor g = gradient.to(at::kDouble), x = z.detach().to(at::kDouble);
  return (g - x * (g * x).sum(1, /*keepdim=*/true)).square().sum();
}

nlohmann::json measure(const Method& method, const Case& one, const Communicator& communicator) {
  const auto warm_up = [&](int64_t images) { method(make_inputs(one, images, communicator)); };
  // Code, threads and the scratch memory of libraries are not the method's.
  warm_up(std::min<int64_t>(one.images, 256));
  const Inputs inputs = make_inputs(one, one.images, communicator);
  give_back_free_memory();
  PeakMemory memory;
  double started = now();
  if (one.images <= kMostWarmUpImages)
    method(inputs);
  else
    warm_up(kMostWarmUpImages);
  const double first = largest_of_ranks(now() - started, communicator);
  const int runs = std::clamp(static_cast<int>(kTimedSeconds / first), 1, kMostRuns);
  std::vector<double> milliseconds;
  Outcome outcome;
  for (int run = 0; run < runs; ++run) {
    outcome = {};
    communicator.barrier();
    started = now();
    outcome = method(inputs);
    communicator.barrier();
    milliseconds.push_back(1e3 * (now() - started));
  }
  const auto extra = memory.extra_bytes();
  const double most = largest_of_ranks(extra ? static_cast<double>(*extra) : -1, communicator);
  const at::Tensor squares =
      along_sphere(outcome.view0, inputs.view0) + along_sphere(outcome.view1, inputs.view1);
  return {{"milliseconds", median(milliseconds)},
          {"runs", runs},
          {"extra_bytes", most < 0 ? nlohmann::json() : nlohmann::json(most)},
          {"loss", sum_of_ranks(outcome.loss, communicator)},
          {"temperature_gradient", sum_of_ranks(outcome.temperature, communicator)},
          {"gradient_norm", std::sqrt(sum_of_ranks(squares, communicator))}};
}

}  // namespace

int run_worker(const Options& options) {
  const Case& one = options.grid.at(0);
  const bool floor = options.worker == "floor";
  const Method method = floor ? Method() : method_named(options.worker);
  World world = open_world({.device = "cpu"});
  nlohmann::json line;
  if (floor) {
    line = {{"products_per_second", products_per_second(one.type == "bfloat16")},
            {"exponentials_per_second", exponentials_per_second()}};
  } else {
    const Communicators communicators = open_communicators(world);
    line = measure(method, one, *communicators.loss);
  }
  if (world.rank == 0) std::cout << line.dump() << std::endl;
  close_world(world);
  return 0;
}

}  // namespace cltrain::ntxent
