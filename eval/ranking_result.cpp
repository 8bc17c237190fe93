#include "eval/ranking_result.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

RankingResult measures(const int64_t* count, int64_t candidates,
                       const std::vector<int64_t>& cutoffs) {
  RankingResult result;
  for (int64_t rank = 0; rank <= candidates; ++rank) result.users += count[rank];
  const double users = static_cast<double>(std::max<int64_t>(result.users, 1));
  for (const int64_t k : cutoffs) {
    int64_t hits = 0;
    double gain = 0;
    for (int64_t rank = 1; rank <= std::min(k, candidates); ++rank) {
      hits += count[rank];
      gain += static_cast<double>(count[rank]) / std::log2(1.0 + static_cast<double>(rank));
    }
    result.cutoffs.push_back({k, static_cast<double>(hits) / users, gain / users});
  }
  for (int64_t rank = 1; rank <= candidates; ++rank)
    result.mrr += static_cast<double>(count[rank]) / static_cast<double>(rank);
  result.mrr /= users;
  return result;
}

std::string prefix(const RankingResult& result, const char* separator) {
  return result.protocol == "full" ? "" : result.protocol + separator;
}

std::vector<std::pair<std::string, double>> values_after(const std::string& prefix,
                                                         const RankingResult& result) {
  std::vector<std::pair<std::string, double>> values;
  for (const RankingCutoff& at : result.cutoffs) {
    values.emplace_back(prefix + "HR@" + std::to_string(at.k), at.hit_rate);
    values.emplace_back(prefix + "NDCG@" + std::to_string(at.k), at.ndcg);
  }
  values.emplace_back(prefix + "MRR", result.mrr);
  return values;
}

}  // namespace

std::string to_text(const RankingResult& result) {
  std::string text = prefix(result, " ");
  for (const auto& [name, value] : values_after("", result)) {
    char number[32];
    std::snprintf(number, sizeof number, " %.4f ", value);
    text += name + number;
  }
  text.pop_back();
  return text;
}

std::vector<std::pair<std::string, double>> named_values(const RankingResult& result) {
  return values_after(prefix(result, "."), result);
}

RankingTally::RankingTally(int64_t candidates, std::vector<int64_t> cutoffs, std::string protocol)
    : candidates_(candidates),
      cutoffs_(std::move(cutoffs)),
      protocol_(std::move(protocol)),
      counts_(static_cast<size_t>(candidates + 2)) {
  TORCH_CHECK(!cutoffs_.empty(), "ranking: no k to measure HR@k and NDCG@k at was given");
  for (const int64_t k : cutoffs_)
    TORCH_CHECK(k >= 1, "ranking: HR@k and NDCG@k need k of at least 1; received ", k);
}

void RankingTally::add(const AnswerRanks& ranks) {
  const auto* rank = ranks.rank.const_data_ptr<int64_t>();
  for (int64_t user = 0; user < ranks.rank.size(0); ++user) {
    TORCH_CHECK(rank[user] >= 0 && rank[user] <= candidates_, "ranking: a rank of ", rank[user],
                " among ", candidates_, " candidates: this tally is of another ranking");
    ++counts_[rank[user]];
  }
  counts_[candidates_ + 1] += ranks.answers_in_history;
}

RankingResult RankingTally::total(const Communicator& communicator) const {
  at::Tensor sum = at::empty({candidates_ + 2}, at::kLong);
  auto* count = sum.mutable_data_ptr<int64_t>();
  std::copy(counts_.begin(), counts_.end(), count);
  communicator.all_reduce_sum(sum);
  RankingResult result = measures(count, candidates_, cutoffs_);
  result.protocol = protocol_;
  result.answers_in_history = count[candidates_ + 1];
  return result;
}

}  // namespace cltrain
