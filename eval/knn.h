// Weighted k-nearest-neighbour accuracy, the usual measure of features without training a probe.
// Source: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination",
// arXiv 1805.01978, section 3.4: cosine similarity, votes weighted by exp(similarity / T).
//
// Collective over all ranks. Every rank holds its share of the base and of the queries; each query
// is compared with the whole base and counted once: a rank searches its part of the base for all
// queries and the k best of each part are merged, ties by rank and position. On the CPU the result
// is the same bits at any number of ranks and threads (eval/nearest.h).
//
// The search is exact: vectors on the CPU by TiledBase, on a GPU by products and top-k there.
// faiss' flat index finds the same neighbours, at less than half the speed (bench/knn.py).
#pragma once

#include "dist/communicator.h"
#include "eval/accuracy.h"
#include "eval/features.h"

namespace cltrain {

/// Top-5: the query's class is among the five heaviest that got a vote.
using KnnResult = Accuracy;

/// base and queries: this rank's shares, vectors not yet normalised, on one device. classes > 0;
/// `communicator` carries CPU tensors. Throws c10::Error if a label is outside 0 .. classes - 1.
KnnResult knn_accuracy(const Features& base, const Features& queries, int64_t classes, int64_t k,
                       double temperature, const Communicator& communicator);

/// Rows of unit length; rows of zeros stay zeros.
at::Tensor unit_rows(const at::Tensor& vectors);

}  // namespace cltrain
