// Two measures of features that train nothing, both by cosine similarity over the whole base
// (eval/global_neighbours.h, whose contract is theirs):
//   kNN accuracy  the k nearest vote, weighted by exp(similarity / T): Wu et al., "Unsupervised
//                 Feature Learning via Non-Parametric Instance Discrimination", arXiv 1805.01978,
//                 section 3.4
//   recall at n   a query counts where one of its class is among the n nearest: how video retrieval
//                 is reported (clips of the test set query those of the training set)
//
// faiss' flat index finds the same neighbours, at less than half the speed (bench/knn.py).
#pragma once

#include "dist/communicator.h"
#include "eval/accuracy.h"
#include "eval/features.h"

#include <utility>
#include <vector>

namespace cltrain {

/// Top-5: the query's class is among the five heaviest that got a vote.
using KnnResult = Accuracy;

/// base and queries: this rank's shares, vectors not yet normalised, on one device. classes > 0;
/// `communicator` carries CPU tensors. Throws c10::Error if a label is outside 0 .. classes - 1.
KnnResult knn_accuracy(const Features& base, const Features& queries, int64_t classes, int64_t k,
                       double temperature, const Communicator& communicator);

struct RetrievalResult {
  int64_t queries = 0;                             ///< over all ranks
  std::vector<std::pair<int64_t, double>> recall;  ///< n, share of the queries
};

/// Recall at each n of `ranks`, rising.
RetrievalResult retrieval_recall(const Features& base, const Features& queries,
                                 const std::vector<int64_t>& ranks,
                                 const Communicator& communicator);

}  // namespace cltrain
