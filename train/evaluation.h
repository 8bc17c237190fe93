// Evaluation during and after training: what the trainer calls, whatever is measured. One kind for
// pictures and clips (train/accuracy_evaluation.h), one for recommenders
// (train/ranking_evaluation.h).
//
// Collective: every rank holds one and makes the same calls, and gets the same records. Changes no
// training state: the caller puts the method into evaluation mode.
#pragma once

#include "eval/options.h"
#include "models/method.h"
#include "monitoring/sink.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace cltrain {

class Evaluation {
 public:
  /// kStart: before the first step; kEnd: of the weights the run ends with.
  enum class When { kStart, kDuring, kEnd };

  explicit Evaluation(const EvalOptions& options) : options_(options) {}
  virtual ~Evaluation() = default;

  /// Whether the data allow it, and eval.enabled.
  virtual bool possible() const = 0;
  /// Whether eval.every or eval.every_epochs asks for a measurement after `step` steps.
  bool due(int64_t step, int64_t steps_per_epoch) const {
    return (options_.every > 0 && step % options_.every == 0) ||
           (options_.every_epochs > 0 && step % (options_.every_epochs * steps_per_epoch) == 0);
  }
  /// At the start the baselines (if eval.baselines), later the method; empty where nothing can be
  /// measured.
  virtual std::vector<EvaluationRecord> measure(Method& method, int64_t step, When when) = 0;
  /// The one figure that says which weights are better, the larger the better; none where the
  /// records do not hold it.
  virtual std::optional<double> merit(const std::vector<EvaluationRecord>& records) const = 0;

 protected:
  const EvalOptions& options_;
};

}  // namespace cltrain
