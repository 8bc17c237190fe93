// Whole training steps of a method, traced: what the equivalence tests compare between W ranks with
// different samples and one rank with all of them.
#pragma once

#include "dist/communicator.h"
#include "models/options.h"
#include "train/options.h"

#include <map>
#include <string>
#include <vector>

namespace cltrain::testing {

struct Setting {
  MethodOptions method;
  OptimOptions optim;
  at::ScalarType type = at::kDouble;
  int64_t samples = 16, image_size = 16;
  int64_t global_batch = 7;
  int64_t steps = 5;
};

struct Trace {
  std::vector<double> losses;                                ///< total of every step
  std::vector<std::map<std::string, at::Tensor>> gradients;  ///< of every step, before the update
  std::map<std::string, at::Tensor> state;  ///< parameters, buffers, optimiser; end
  std::vector<std::vector<int64_t>> rows;   ///< rows of each rank at every step
};

/// Collective over the ranks of `communicators`.
Trace run_steps(const Setting& setting, const Communicators& communicators);

/// Fails the running test for every tensor that differs by more than `tolerance` (relative to its
/// norm; gradients whose norm is under 1e-12 of the whole gradient's count as zero).
void expect_same_gradients(const std::map<std::string, at::Tensor>& a,
                           const std::map<std::string, at::Tensor>& b, double tolerance);
void expect_same_state(const std::map<std::string, at::Tensor>& a,
                       const std::map<std::string, at::Tensor>& b, double tolerance);

}  // namespace cltrain::testing
