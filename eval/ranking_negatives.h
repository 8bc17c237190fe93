// Negatives of a sampled ranking: for each user some items that are neither the answer nor in the
// history, each once, uniformly or in proportion to how often items occur in training.
//
// The draws of a user are a pure function of (key, user): the same at any number of ranks, batches
// and threads. Read-only after construction; any thread. Figures of sampled rankings are much
// higher than those of full rankings and order models differently (Krichene and Rendle, "On
// sampled metrics for item recommendation", KDD 2020): never compare the two.
#pragma once

#include "ops/keyed_random.h"

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

class NegativeSampler {
 public:
  /// `count` negatives a user out of the items 1 .. `items`. `popularity`: [items + 2] int64 on the
  /// CPU, occurrences by item id; items that never occur are never drawn. Undefined: uniformly.
  NegativeSampler(int64_t items, int64_t count, PhiloxKey key, const at::Tensor& popularity = {});

  /// Writes count() ids in the order drawn. Throws c10::Error where fewer items are left; user is 0
  /// to 2^48 - 1.
  void draw(int64_t user, std::span<const int32_t> history, int32_t answer,
            int32_t* negatives) const;

  int64_t items() const { return items_; }
  int64_t count() const { return count_; }

 private:
  int64_t drawable(const std::vector<int32_t>& excluded) const;
  int32_t one(KeyedStream& stream) const;

  int64_t items_, count_;
  PhiloxKey key_;
  std::vector<int64_t>
      until_;              ///< by id: occurrences of it and of the items before; empty: uniform
  int64_t occurring_ = 0;  ///< items that can be drawn
};

}  // namespace cltrain
