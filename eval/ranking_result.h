// What full or sampled ranking reports: HR@k, NDCG@k and MRR of one right item a user.
//   HR@k    share of the users whose answer has rank <= k
//   NDCG@k  mean of 1 / log2(1 + rank) where rank <= k, else 0 (one relevant item: the ideal is 1)
//   MRR     mean of 1 / rank over the whole ranking
// A miss (eval/ranking.h) counts 0 in all three.
//
// Only ranks are counted, as whole numbers, and the measures come from the counts of all ranks
// together: the same bits at any number of ranks and batches.
#pragma once

#include "dist/communicator.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace cltrain {

struct RankingCutoff {
  int64_t k = 0;
  double hit_rate = 0, ndcg = 0;
};

struct RankingResult {
  std::string protocol;                ///< "full", or "sampled_100" where 100 negatives are ranked
  int64_t users = 0;                   ///< over all ranks
  int64_t answers_in_history = 0;      ///< users whose answer is in their history
  std::vector<RankingCutoff> cutoffs;  ///< in the order asked for
  double mrr = 0;
};

/// "HR@5 0.0504 NDCG@5 0.0339 ... MRR 0.0330", after "sampled_100 " where that is the protocol.
std::string to_text(const RankingResult& result);

/// "HR@5", "NDCG@5", ..., "MRR" with their values (NamedValues of monitoring/sink.h); the names
/// begin with "sampled_100." where that is the protocol, so that nobody takes one for the other.
std::vector<std::pair<std::string, double>> named_values(const RankingResult& result);

/// Ranks of some users.
struct AnswerRanks {
  at::Tensor rank;                 ///< [n] int64 on the CPU, from 1; 0 is a miss
  int64_t answers_in_history = 0;  ///< of these users
};

/// Counts one rank's users. One thread at a time.
class RankingTally {
 public:
  /// Ranks go from 1 to `candidates`, the same on all ranks; cutoffs are at least 1.
  RankingTally(int64_t candidates, std::vector<int64_t> cutoffs, std::string protocol = "full");
  void add(const AnswerRanks& ranks);
  /// Collective: the measures over all ranks, the same on every rank. `communicator` carries CPU
  /// tensors.
  RankingResult total(const Communicator& communicator) const;

 private:
  int64_t candidates_;
  std::vector<int64_t> cutoffs_;
  std::string protocol_;
  std::vector<int64_t> counts_;  ///< [0] misses, [rank] users, [candidates + 1] answers in history
};

}  // namespace cltrain
