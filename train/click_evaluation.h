// AUC of a click-through model on the test rows (eval/auc.h), and, where asked for, that of the
// untrained one; of made rows also that of the rule itself, which no model beats but by luck. Rows
// are spread over the ranks, each counted once.
#pragma once

#include "data/clicks/open_clicks.h"
#include "dist/communicator.h"
#include "eval/auc.h"
#include "train/evaluation.h"

#include <vector>

namespace cltrain {

struct ClickEvaluationParts {
  const World& world;
  const Communicators& communicators;
  const EvalOptions& options;
  const ClickPair& data;
};

class ClickEvaluation : public Evaluation {
 public:
  explicit ClickEvaluation(ClickEvaluationParts parts) : Evaluation(parts.options), parts_(parts) {}

  bool possible() const override { return options_.enabled; }
  /// The probes "rule" (made rows) and "untrained_model" at the start, then "clicks".
  std::vector<EvaluationRecord> measure(Method& method, int64_t step, When when) override;
  /// AUC of "clicks".
  std::optional<double> merit(const std::vector<EvaluationRecord>& records) const override;

  /// Of the method, in evaluation mode. Collective.
  AucResult auc(Method& method) const;
  /// Of the chance that the rule gives each test row. Collective; of made rows only.
  AucResult auc_of_rule() const;

 private:
  ClickEvaluationParts parts_;
};

}  // namespace cltrain
