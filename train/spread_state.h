// The state of a model, by name, and how all ranks get rank 0's.
#pragma once

#include "dist/communicator.h"
#include "models/method.h"

#include <vector>

namespace cltrain {

/// Every parameter and buffer of the method, as "model.<name>": what a checkpoint holds of it.
std::vector<NamedTensor> model_state(const Method& method);

/// Collective. Every rank's tensors become rank 0's, in place.
void spread_state(const std::vector<NamedTensor>& state, const Communicators& communicators);

}  // namespace cltrain
