// Whole training steps of a method, traced: what the equivalence tests compare between W ranks with
// different samples and one rank with all of them.
#pragma once

#include "data/sampler.h"
#include "dist/communicator.h"
#include "models/options.h"
#include "train/options.h"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cltrain::testing {

struct Setting {
  MethodOptions method;
  OptimOptions optim;
  at::ScalarType type = at::kDouble;
  int64_t samples = 16, image_size = 16;
  int64_t frames = 0;   ///< above 0: clips of so many, made from pictures
  int64_t classes = 0;  ///< above 0: labels, which some samples lack
  int64_t items = 0;    ///< above 0: histories of so many items, drawn, for a recommender
  bool clicks = false;  ///< rows of clicks_synthetic, `samples` of them, for a click-through model
  int64_t global_batch = 7;
  int64_t micro_batch = 0;
  int64_t steps = 5;
};

struct Trace {
  std::vector<double> losses;                                ///< total of every phase of each step
  std::vector<std::map<std::string, at::Tensor>> gradients;  ///< of every step, before the update
  std::map<std::string, at::Tensor> state;  ///< parameters, buffers, optimiser; end; all whole
  std::vector<BatchCut> cuts;               ///< of every step
};

/// Small networks with learned temperature, trained by LARS.
Setting resnet18();
Setting small_conv();  ///< with three layers in the head

/// Collective over the ranks of `communicators`.
Trace run_steps(const Setting& setting, const Communicators& communicators);

/// The trace of all ranks and that of one rank with every sample; on rank 0 only, which compares.
std::optional<std::pair<Trace, Trace>> on_all_ranks_and_alone(const Setting& setting);

/// Losses and gradients of every step and the state at the end; a learned scale must have had a
/// gradient.
void expect_same_trace(const Trace& a, const Trace& b, double tolerance);
/// Fails the running test for every tensor that differs by more than `tolerance`, relative to its
/// norm. As zero count gradients whose norm is under 1e-12 of the whole gradient's, and state whose
/// norm is under 1e-12 (running means behind a centred layer).
void expect_same_gradients(const std::map<std::string, at::Tensor>& a,
                           const std::map<std::string, at::Tensor>& b, double tolerance);
void expect_same_state(const std::map<std::string, at::Tensor>& a,
                       const std::map<std::string, at::Tensor>& b, double tolerance);

/// The headline: W ranks with different samples train as one rank with all of them, to 1e-9.
void expect_equivalent(const Setting& setting);

/// Fails for every tensor of which a rank holds other bits than rank 0. Collective.
void expect_same_bits_on_every_rank(const std::map<std::string, at::Tensor>& state);

}  // namespace cltrain::testing
