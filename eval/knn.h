// Weighted k-nearest-neighbour accuracy, the usual measure of features without training a probe.
// Source: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination",
// arXiv 1805.01978, section 3.4: cosine similarity, votes weighted by exp(similarity / T).
//
// Collective over all ranks. Every rank holds its share of the base and of the queries; each query
// is compared with the whole base and counted once, whatever the rank count: a rank searches its
// part of the base for all queries (faiss, exact inner product) and the k best of each part are
// merged, ties by rank and position.
#pragma once

#include "dist/communicator.h"
#include "eval/features.h"

namespace cltrain {

struct KnnResult {
  double top1 = 0;      ///< share of the queries whose heaviest class is theirs
  int64_t queries = 0;  ///< over all ranks
};

/// base and queries: this rank's shares, vectors not yet normalised. classes > 0. Throws c10::Error
/// if a label is outside 0 .. classes - 1.
KnnResult knn_accuracy(const Features& base, const Features& queries, int64_t classes, int64_t k,
                       double temperature, const Communicator& communicator);

}  // namespace cltrain
