// Full ranking of each user's held-out item among all items (eval/ranking.h), and, where asked for,
// of the items by popularity and of the untrained network. Users are spread over the ranks, each
// counted once.
#pragma once

#include "data/sequences/interactions.h"
#include "dist/communicator.h"
#include "eval/item_lists.h"
#include "eval/ranking.h"
#include "train/evaluation.h"

#include <functional>
#include <string>
#include <vector>

namespace cltrain {

struct RankingEvaluationParts {
  const World& world;
  const Communicators& communicators;
  const EvalOptions& options;
  const Interactions& interactions;
  int64_t window;  ///< items that the network sees
  uint64_t seed;   ///< of sampled negatives
};

/// One line that says how the figures come about.
std::string ranking_protocol(const EvalOptions& options);

/// What is held out of a user's list (data/sequences/leave_one_out.h).
enum class HeldOutPart { kValidation, kTest };

class RankingEvaluation : public Evaluation {
 public:
  explicit RankingEvaluation(RankingEvaluationParts parts);

  bool possible() const override { return options_.enabled; }
  /// The probes "popularity" and "untrained" at the start and "test" at the end, on the last item
  /// of each user; "validation" during training, on the one before.
  std::vector<EvaluationRecord> measure(Method& method, int64_t step, When when) override;
  /// NDCG@20 of "validation".
  std::optional<double> merit(const std::vector<EvaluationRecord>& records) const override;

  /// One measurement of the method, in evaluation mode. Collective.
  RankingResult rank(Method& method, HeldOutPart part) const;
  /// The same of popularity, counted in the training part.
  RankingResult rank_by_popularity(HeldOutPart part) const;

 private:
  /// windows of histories [n, L] -> [n, d]
  using Represent = std::function<at::Tensor(const at::Tensor& windows)>;
  RankingResult rank(const at::Tensor& table, const Represent& represent, HeldOutPart part) const;

  RankingEvaluationParts parts_;
  std::vector<int64_t> users_;  ///< this rank's
  at::Tensor training_counts_;  ///< [items + 2] int64
};

}  // namespace cltrain
