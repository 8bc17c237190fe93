// What tests of several ranks share: the world they run in and, for comparison, a world of one.
// Every rank runs the same tests in the same order.
#pragma once

#include "dist/communicator.h"

#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

namespace cltrain::testing {

/// The world that mpirun made; opened by ranks_main.cpp.
const World& world();
/// Communicators over all ranks; opened once.
const Communicators& all_ranks();
/// Communicators of this rank alone, over the same backend.
std::unique_ptr<Communicators> alone();

/// The largest |a - b| over the larger norm of the two; two tensors that are both all but zero
/// against `scale` (norms under 1e-12 * scale) count as equal.
double relative_difference(const at::Tensor& a, const at::Tensor& b, double scale = 0);

/// A folder of its own for each call, the same on every rank, removed at exit by rank 0.
std::string shared_folder(const std::string& name);

}  // namespace cltrain::testing
