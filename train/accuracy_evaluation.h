// Accuracy on the test set. Of methods that train a classifier it is the classifier's, of the
// others weighted kNN's on the encoder's features; where asked for, before training, kNN's on raw
// pixels and on the untrained encoder's features. Every sample is embedded and counted once.
#pragma once

#include "data/registry.h"
#include "dist/communicator.h"
#include "eval/accuracy.h"
#include "eval/features.h"
#include "train/evaluation.h"

#include <string>
#include <vector>

namespace cltrain {

/// Accuracy of the method's classifier on `test`, this rank's share of a labelled set: each
/// sample's mean features over its plain views (data.eval_clips) are classified, which is the mean
/// of the views' logits, as the classifier is affine. Collective. The method is in evaluation mode
/// and classifies().
Accuracy classifier_accuracy(Method& method, const Features& test, const Communicator& control);

struct AccuracyEvaluationParts {
  const World& world;
  const Communicators& communicators;
  const EvalOptions& options;
  const DatasetPair& data;  ///< no labels or no test set: nothing is measured
  const AugmentOptions& views;
  at::ScalarType type;  ///< of the encoder's weights
  int64_t workers;      ///< decoding threads
};

class AccuracyEvaluation : public Evaluation {
 public:
  explicit AccuracyEvaluation(AccuracyEvaluationParts parts)
      : Evaluation(parts.options), parts_(parts) {}

  bool possible() const override;
  /// The probes "raw_pixels" and "untrained_encoder" at the start, then "knn" or "classifier".
  std::vector<EvaluationRecord> measure(Method& method, int64_t step, When when) override;
  /// top1 of "knn" or "classifier".
  std::optional<double> merit(const std::vector<EvaluationRecord>& records) const override;

 private:
  EvaluationRecord knn(const std::string& probe, const Embed& embed, int64_t step) const;
  EvaluationRecord classifier(Method& method, const Embed& embed, int64_t step) const;
  Features features_of(const Dataset& dataset, const Embed& embed) const;

  AccuracyEvaluationParts parts_;
};

}  // namespace cltrain
