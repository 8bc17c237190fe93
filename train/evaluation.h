// Evaluation during and after training: accuracy on the test set. Of methods that train a
// classifier it is the classifier's, of the others weighted kNN's on the encoder's features; where
// asked for, before training, kNN's on raw pixels and on the untrained encoder's features.
// Collective; every sample is embedded and counted once. Changes no training state: the caller puts
// the method into evaluation mode.
#pragma once

#include "data/registry.h"
#include "dist/communicator.h"
#include "eval/accuracy.h"
#include "eval/features.h"
#include "eval/options.h"
#include "models/method.h"
#include "monitoring/sink.h"

#include <string>
#include <vector>

namespace cltrain {

/// Accuracy of the method's classifier on `test`, this rank's share of a labelled set: each
/// sample's mean features over its plain views (data.eval_clips) are classified, which is the mean
/// of the views' logits, as the classifier is affine. Collective. The method is in evaluation mode
/// and classifies().
Accuracy classifier_accuracy(Method& method, const Features& test, const Communicator& control);

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
  /// At step 0 the baselines (if eval.baselines), later the encoder ("knn") or the classifier
  /// ("classifier"); empty where nothing can be measured. The same records on every rank.
  std::vector<EvaluationRecord> measure(Method& method, int64_t step, bool final);

 private:
  EvaluationRecord knn(const std::string& probe, const Embed& embed, int64_t step) const;
  EvaluationRecord classifier(Method& method, const Embed& embed, int64_t step) const;
  Features features_of(const Dataset& dataset, const Embed& embed) const;
  EvaluationParts parts_;
};

}  // namespace cltrain
