#include "eval/knn.h"

#include "eval/global_neighbours.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

namespace cltrain {

KnnResult knn_accuracy(const Features& base, const Features& queries, int64_t classes, int64_t k,
                       double temperature, const Communicator& communicator) {
  check_labels(base.labels, classes, "kNN, base");
  check_labels(queries.labels, classes, "kNN, queries");
  AccuracyTally tally(classes);
  std::vector<double> votes(static_cast<size_t>(classes));
  visit_neighbours(base, queries, k, communicator,
                   [&](const std::vector<LabelledNeighbour>& best, int64_t label) {
                     if (best.empty()) return tally.add_wrong(label);
                     std::fill(votes.begin(), votes.end(), 0.0);
                     for (const auto& [similarity, owner] : best)
                       votes[owner] += std::exp((similarity - best.front().first) / temperature);
                     // A class whose vote is 0 (or underflowed to it) is no answer.
                     tally.add(votes.data(), label, std::numeric_limits<double>::min());
                   });
  return tally.total(communicator);
}

RetrievalResult retrieval_recall(const Features& base, const Features& queries,
                                 const std::vector<int64_t>& ranks,
                                 const Communicator& communicator) {
  TORCH_CHECK(!ranks.empty() && std::is_sorted(ranks.begin(), ranks.end()) && ranks.front() > 0,
              "retrieval: ranks at which recall is counted are to rise from 1 on");
  at::Tensor counts = at::zeros({static_cast<int64_t>(ranks.size()) + 1}, at::kLong);
  auto* found = counts.mutable_data_ptr<int64_t>();
  visit_neighbours(base, queries, ranks.back(), communicator,
                   [&](const std::vector<LabelledNeighbour>& best, int64_t label) {
                     ++found[ranks.size()];
                     const auto hit = std::find_if(best.begin(), best.end(), [&](const auto& near) {
                       return near.second == label;
                     });
                     for (size_t i = 0; i < ranks.size(); ++i)
                       found[i] += hit != best.end() && hit - best.begin() < ranks[i];
                   });
  communicator.all_reduce_sum(counts);
  RetrievalResult result{.queries = found[ranks.size()]};
  for (size_t i = 0; i < ranks.size(); ++i)
    result.recall.emplace_back(
        ranks[i],
        static_cast<double>(found[i]) / static_cast<double>(std::max<int64_t>(1, result.queries)));
  return result;
}

}  // namespace cltrain
