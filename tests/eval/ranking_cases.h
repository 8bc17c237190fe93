// Random users with histories, and a ranking by float64 loops, written from the definition alone.
#pragma once

#include "eval/ranking.h"
#include "ops/keyed_random.h"

#include <algorithm>
#include <set>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace cltrain::testing {

struct RankingCase {
  at::Tensor items;
  RankingQueries queries;
};

inline KeyedStream draws(uint64_t sample, uint64_t seed = 11) {
  return {random_key(seed, Purpose::kAugmentation, 0), sample, 0, 0};
}

inline ItemLists lists_of(const std::vector<std::vector<int32_t>>& lists) {
  ItemLists made = empty_lists(static_cast<int64_t>(lists.size()));
  std::vector<int32_t> ids;
  for (size_t i = 0; i < lists.size(); ++i) {
    ids.insert(ids.end(), lists[i].begin(), lists[i].end());
    made.offsets[static_cast<int64_t>(i) + 1] = static_cast<int64_t>(ids.size());
  }
  made.ids = at::empty({static_cast<int64_t>(ids.size())}, at::kInt);
  std::copy(ids.begin(), ids.end(), made.ids.mutable_data_ptr<int32_t>());
  return made;
}

/// Whole numbers from -range to range, so that scores are exact and tie often; range 0: normals.
inline at::Tensor numbers(int64_t rows, int64_t width, int64_t range, uint64_t sample) {
  at::Tensor made = at::empty({rows, width}, at::kFloat);
  KeyedStream stream = draws(sample);
  auto* to = made.mutable_data_ptr<float>();
  for (int64_t i = 0; i < made.numel(); ++i)
    to[i] = range == 0 ? static_cast<float>(stream.normal())
                       : static_cast<float>(static_cast<int64_t>(stream.below(2 * range + 1))) -
                             static_cast<float>(range);
  return made;
}

/// Histories of 0 to 12 items, repeats among them; every fifth answer is in its user's history.
inline RankingCase ranking_case(int64_t users, int64_t table, int64_t width, int64_t range) {
  RankingCase made{numbers(table, width, range, 1), {numbers(users, width, range, 2)}};
  KeyedStream stream = draws(3);
  const auto item = [&] { return static_cast<int32_t>(1 + stream.below(table - 2)); };
  made.queries.answers = at::empty({users}, at::kLong);
  made.queries.users = at::arange(users, at::kLong) * 7 + 100;
  std::vector<std::vector<int32_t>> histories(static_cast<size_t>(users));
  for (int64_t u = 0; u < users; ++u) {
    for (int64_t n = static_cast<int64_t>(stream.below(13)); n > 0; --n)
      histories[u].push_back(item());
    if (!histories[u].empty()) histories[u].push_back(histories[u].front());
    const bool again = u % 5 == 0 && !histories[u].empty();
    made.queries.answers[u] = again ? histories[u].back() : item();
  }
  made.queries.history = lists_of(histories);
  return made;
}

/// Users begin .. end - 1 of some.
inline RankingQueries users_of(const RankingQueries& all, int64_t begin, int64_t end) {
  std::vector<std::vector<int32_t>> histories;
  for (int64_t u = begin; u < end; ++u) {
    const auto seen = all.history.of(u);
    histories.emplace_back(seen.begin(), seen.end());
  }
  return {all.representations.narrow(0, begin, end - begin),
          all.answers.narrow(0, begin, end - begin), lists_of(histories),
          all.users.narrow(0, begin, end - begin)};
}

struct LoopRank {
  int64_t rank = 0;
  double nearest = 1e300;  ///< distance of the answer's score to the closest other one
};

/// Rank of user u's answer among `among`; sorting, where the program counts.
inline LoopRank rank_by_loops(const RankingCase& c, int64_t u, const std::string& history,
                              std::vector<int64_t> among) {
  const int64_t answer = c.queries.answers[u].item<int64_t>(), width = c.items.size(1);
  const float* user = c.queries.representations.const_data_ptr<float>() + u * width;
  const float* table = c.items.const_data_ptr<float>();
  const auto list = c.queries.history.of(u);
  const std::set<int64_t> seen(list.begin(), list.end());
  std::vector<std::pair<double, int64_t>> order;  // (-score, id)
  for (const int64_t id : among) {
    if (history == "exclude" && seen.count(id)) continue;
    double score = 0;
    for (int64_t d = 0; d < width; ++d)
      score += static_cast<double>(user[d]) * static_cast<double>(table[id * width + d]);
    order.emplace_back(history == "zero" && seen.count(id) ? 0.0 : -score, id);
  }
  std::sort(order.begin(), order.end());
  LoopRank found;
  for (size_t i = 0; i < order.size(); ++i)
    if (order[i].second == answer) found.rank = static_cast<int64_t>(i) + 1;
  if (found.rank > 0)
    for (const auto& [score, id] : order)
      if (id != answer)
        found.nearest = std::min(found.nearest, std::abs(score - order[found.rank - 1].first));
  return found;
}

inline std::vector<int64_t> candidate_ids(int64_t table, const std::string& candidates) {
  std::vector<int64_t> ids;
  for (int64_t id = candidates == "items"; id < table - (candidates == "items"); ++id)
    ids.push_back(id);
  return ids;
}

}  // namespace cltrain::testing
