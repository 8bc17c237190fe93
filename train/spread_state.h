// The state of a run, by name: how rank 0 gets the whole of it for a checkpoint, and how all ranks
// get theirs from rank 0's. A checkpoint holds every tensor once and whole, also those that are
// shared out over the ranks (dist/sharded_queue.h), so any number of ranks can take it up.
#pragma once

#include "dist/communicator.h"
#include "models/method.h"

#include <string>
#include <vector>

namespace cltrain {

/// One tensor of the live state, not a copy.
struct StateTensor {
  std::string name;
  at::Tensor tensor;          ///< whole and the same on every rank, or this rank's rows
  std::vector<int64_t> rows;  ///< of the second kind: rows on every rank; else empty
};

/// Every parameter and buffer of the method, as "model.<name>": what a checkpoint holds of it.
std::vector<StateTensor> model_state(const Method& method);

/// Collective. Rank 0 gets every tensor whole: the live one, or a copy of the ranks' rows one after
/// the other (a queue passes rank 0's memory once); other ranks get nothing.
std::vector<NamedTensor> whole_state(const std::vector<StateTensor>& state,
                                     const Communicators& communicators);

/// Rank 0: tensors of the whole shapes to load a checkpoint into; those that are not shared out are
/// the live ones.
std::vector<NamedTensor> room_for_state(const std::vector<StateTensor>& state);

/// Collective. Every rank's tensors become rank 0's, in place; those that are shared out become
/// their rows of `whole`, which is room_for_state() on rank 0 and is not looked at elsewhere.
void spread_state(const std::vector<StateTensor>& state, const std::vector<NamedTensor>& whole,
                  const Communicators& communicators);

}  // namespace cltrain
