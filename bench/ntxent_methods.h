// The methods of bench/ntxent that are C++: NT-Xent forward and backward on this rank's rows.
#pragma once

#include "dist/communicator.h"

#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain::ntxent {

/// Leaves of the graph and where they are. float32; the products are of bfloat16 if asked for.
struct Inputs {
  at::Tensor view0, view1;  ///< [rows[rank], D], unit rows
  at::Tensor temperature;   ///< scalar float64
  std::vector<int64_t> rows;
  const Communicator& communicator;
  bool bfloat16 = false;
};

/// Shares of this rank: the sum over ranks is the whole.
struct Outcome {
  at::Tensor loss;
  at::Tensor view0, view1;  ///< gradients, [rows[rank], D]
  at::Tensor temperature;   ///< gradient, scalar
};

using Method = std::function<Outcome(const Inputs&)>;

/// "cltrain" (gather), "cltrain-gather", "cltrain-balanced", "cltrain-ring", "dense", "tiles";
/// throws std::invalid_argument for another name.
Method method_named(const std::string& name);

}  // namespace cltrain::ntxent
