// kNN accuracy of the encoder's features on the test set, and, where asked for, of raw pixels and
// of the untrained encoder. Every sample is embedded and counted once.
#pragma once

#include "data/registry.h"
#include "dist/communicator.h"
#include "eval/features.h"
#include "train/evaluation.h"

#include <string>
#include <vector>

namespace cltrain {

struct KnnEvaluationParts {
  const World& world;
  const Communicators& communicators;
  const EvalOptions& options;
  const DatasetPair& data;  ///< no labels or no test set: nothing is measured
  const AugmentOptions& views;
  at::ScalarType type;  ///< of the encoder's weights
  int64_t workers;      ///< decoding threads
};

class KnnEvaluation : public Evaluation {
 public:
  explicit KnnEvaluation(KnnEvaluationParts parts) : Evaluation(parts.options), parts_(parts) {}

  bool possible() const override;
  /// The probes "raw_pixels" and "untrained_encoder" at the start, then "knn".
  std::vector<EvaluationRecord> measure(Method& method, int64_t step, When when) override;
  /// top1 of "knn".
  std::optional<double> merit(const std::vector<EvaluationRecord>& records) const override;

 private:
  EvaluationRecord knn(const std::string& probe, const Embed& embed, int64_t step) const;
  KnnEvaluationParts parts_;
};

}  // namespace cltrain
