// GradientSum: sums the gradients of one phase's parameters over the ranks.
//
// Convention (docs/design.md, "one gradient convention"): each rank back-propagates its share of
// the total loss, so the gradient of the whole is the *sum* over ranks.
//
// Gradients are views of flat buckets in reverse registration order, the order in which backward
// completes them, and that order never changes (a resumed run sums in the same order). A hook after
// each parameter's accumulation counts the bucket down; full buckets are launched in order on the
// process group: overlapped with backward on NCCL, in place on the MPI backend.
//
// Use, on every rank, one thread:
//   sum.zero();                      // gradients to zero, views attached
//   share_1.backward(); ...          // earlier micro-batches accumulate
//   sum.arm(); share_k.backward();   // the last backward of the phase launches the buckets
//   sum.finish();                    // every gradient is now the sum over ranks, the same bits
#pragma once

#include "dist/communicator.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

class GradientSum {
 public:
  /// Parameters as (name, leaf tensor), registration order, one type and device; the same on every
  /// rank. Buckets hold up to `bucket_bytes`; a larger parameter has a bucket of its own.
  GradientSum(std::vector<std::pair<std::string, at::Tensor>> parameters,
              const Communicator& communicator, int64_t bucket_bytes = int64_t{25} << 20);
  ~GradientSum();
  GradientSum(const GradientSum&) = delete;
  GradientSum& operator=(const GradientSum&) = delete;

  void zero();
  void arm();
  /// Launches what backward did not fill, waits for all, and returns the names of parameters that
  /// no backward since zero() has reached (their gradient is zero).
  std::vector<std::string> finish();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace cltrain
