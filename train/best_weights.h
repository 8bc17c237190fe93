// The weights of the best evaluation so far, and when to stop waiting for a better one
// (train.patience). They are part of the run's state, so that a continued run knows them.
//
// Every rank holds one and makes the same calls: evaluations give the same merit everywhere.
#pragma once

#include "train/spread_state.h"

#include <cstdint>
#include <vector>

namespace cltrain {

/// A checkpoint's tensor that says whether its "best.model.*" are worth anything, and that.
inline constexpr const char* kBestCounts = "best.counts";
bool any_best(const at::Tensor& counts);

class BestWeights {
 public:
  /// `patience`: evaluations without a better one that are waited for; 0: nothing is kept.
  BestWeights(const Method& method, int64_t patience);

  /// Whether anything is kept at all.
  bool kept() const { return patience_ > 0; }
  /// The copies of the method's tensors, as "best.model.<name>", with what the evaluations came to.
  std::vector<StateTensor> state() const;
  /// The evaluation of the method as it is now, `merit` the larger the better. Equal is not better;
  /// a step that is noted again (by a continued run) counts once.
  void note(const Method& method, double merit, int64_t step);
  /// Whether there is no use in going on.
  bool give_up() const;
  /// The step of the best evaluation; -1 before the first.
  int64_t step() const;
  /// Copies the best weights into the method; does nothing before the first evaluation.
  void restore(const Method& method) const;

 private:
  int64_t patience_;
  at::Tensor merit_;   // [1] float64
  at::Tensor counts_;  // [3] int64: step of the best evaluation, evaluations since, last step noted
  std::vector<StateTensor> copies_;
};

}  // namespace cltrain
