// Evaluation during and after training: kNN accuracy of the encoder's features on the test set,
// and, where asked for, of raw pixels and of the untrained encoder. Collective; every sample is
// embedded and counted once. Changes no training state: the caller puts the method into evaluation
// mode.
#pragma once

#include "data/registry.h"
#include "dist/communicator.h"
#include "eval/features.h"
#include "eval/options.h"
#include "models/method.h"
#include "monitoring/sink.h"

#include <string>
#include <vector>

namespace cltrain {

struct EvaluationParts {
  const World& world;
  const Communicators& communicators;
  const EvalOptions& options;
  const DatasetPair& data;  ///< no labels or no test set: nothing is measured
  const AugmentOptions& views;
  at::ScalarType type;  ///< of the encoder's weights
  int64_t workers;      ///< decoding threads
};

class Evaluation {
 public:
  explicit Evaluation(EvaluationParts parts) : parts_(parts) {}

  /// Whether labels and a test set are there, and eval.enabled.
  bool possible() const;
  /// Whether eval.every asks for a measurement after `step` steps.
  bool due(int64_t step) const;
  /// At step 0 the baselines (if eval.baselines), later the encoder ("knn"); empty where nothing
  /// can be measured. The same records on every rank.
  std::vector<EvaluationRecord> measure(Method& method, int64_t step, bool final);

 private:
  EvaluationRecord knn(const std::string& probe, const Embed& embed, int64_t step) const;
  EvaluationParts parts_;
};

}  // namespace cltrain
