// Accuracies of a classification, over all ranks and by class: what kNN and linear probe report.
#pragma once

#include "dist/communicator.h"

#include <cstdint>
#include <vector>

namespace cltrain {

struct ClassAccuracy {
  int64_t label = 0;
  int64_t queries = 0;  ///< at least 1
  double top1 = 0;
};

struct Accuracy {
  double top1 = 0;      ///< share of the queries whose best class is theirs; 0 without queries
  double top5 = 0;      ///< ... whose class is among the best five
  int64_t queries = 0;  ///< over all ranks
  std::vector<ClassAccuracy> classes;  ///< of the classes that have queries, by label
};

/// Counts one rank's answers.
class AccuracyTally {
 public:
  explicit AccuracyTally(int64_t classes);
  /// `scores`: one a class; the query counts as right (in the best five) if fewer than one (five)
  /// classes are ahead of its own. Equal scores: the lower class is ahead. A class whose score is
  /// NaN or below `least` is never right.
  template <class T>
  void add(const T* scores, int64_t label, T least);
  /// A query without an answer.
  void add_wrong(int64_t label) { ++seen_[label]; }
  /// Collective: the sum over all ranks, the same on every rank.
  Accuracy total(const Communicator& communicator) const;

 private:
  std::vector<int64_t> seen_, right_;  // [classes]
  int64_t top5_ = 0;
};

template <class T>
void AccuracyTally::add(const T* scores, int64_t label, T least) {
  ++seen_[label];
  const T own = scores[label];
  if (!(own >= least)) return;
  int64_t ahead = 0;
  const auto classes = static_cast<int64_t>(seen_.size());
  for (int64_t other = 0; other < classes; ++other)
    ahead += scores[other] > own || (scores[other] == own && other < label);
  right_[label] += ahead == 0;
  top5_ += ahead < 5;
}

/// Of scores [n, classes] and labels [n] int64, this rank's rows, both on the CPU. Collective.
/// Throws c10::Error naming `what` if a label is outside 0 .. classes - 1.
Accuracy accuracy_of_scores(const at::Tensor& scores, const at::Tensor& labels, const char* what,
                            const Communicator& communicator);

/// Throws c10::Error naming `what` if a label is outside 0 .. classes - 1.
void check_labels(const at::Tensor& labels, int64_t classes, const char* what);

}  // namespace cltrain
