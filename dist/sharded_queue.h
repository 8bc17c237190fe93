// The queue of negatives of MoCo (He et al., arXiv 1911.05722, section 3.2), shared out over the
// ranks: K keys in all, of which rank r holds a K/R-th, where other implementations hold K on each.
//
// One global first-in-first-out order, whatever the number of ranks: slots 0 .. K - 1 are filled
// round and round, rank r keeps slots [floor(r K / R), floor((r + 1) K / R)). Any K, any batch: a
// push may wrap around in the middle, bring more keys than fit (the last K stay), or none on some
// ranks. The slots start with keyed random unit vectors, the same at any number of ranks.
//
// A module, so that its tensors are state of the method that holds it; `keys` and `pushed` are this
// rank's rows of tensors over all slots (sharded_buffers), the counters are the same on every rank.
// Every rank makes the same calls; push() is collective. Not thread-safe.
#pragma once

#include "dist/communicator.h"

#include <map>
#include <string>
#include <vector>

#include <torch/nn/module.h>

namespace cltrain {

class ShardedQueue : public torch::nn::Module {
 public:
  /// `keys` = K slots for keys of `width`, in float32 on the CPU at first. Throws
  /// std::invalid_argument where there are fewer slots than ranks.
  ShardedQueue(int64_t keys, int64_t width, uint64_t seed, const Communicator& communicator);

  /// Slots over all ranks.
  int64_t size() const { return size_; }
  /// Slots on every rank.
  const std::vector<int64_t>& rows() const { return rows_; }

  /// Appends the keys of a global batch, of which this rank has its rows: each of `locals`
  /// [b, width], one after the other; `rows` on every rank; `places` says where each row of the
  /// global batch is among the rows of all ranks, rank after rank (BatchCut). All of them together
  /// are one push. Collective; not before the backward pass that still reads the keys.
  void push(const std::vector<at::Tensor>& locals, const std::vector<int64_t>& rows,
            const std::vector<int64_t>& places);

  /// Pushes since the keys of this rank came in, [slots] int64: 1 for those of the last push. The
  /// keys of the start count as pushed with the first.
  at::Tensor ages() const;

  at::Tensor keys;    ///< [slots, width], of unit length as far as pushed keys are
  at::Tensor pushed;  ///< [slots] int64: number of the push that a key came in with, from 1

 private:
  void write(const at::Tensor& batch, int64_t first_slot);

  const Communicator& communicator_;
  const int64_t size_;
  int64_t first_slot_ = 0;
  std::vector<int64_t> rows_;
  at::Tensor next_slot_;  // scalar int64: where the next key goes
  at::Tensor pushes_;     // scalar int64: pushes so far
};

/// Of every queue below `root`: the names of its tensors that are one rank's rows of a larger one,
/// with their number on every rank.
std::map<std::string, std::vector<int64_t>> sharded_buffers(const torch::nn::Module& root);

}  // namespace cltrain
