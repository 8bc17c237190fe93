// The nearest rows of a base that is spread over the ranks, of queries that are too: what kNN
// accuracy and retrieval count in.
//
// Collective over all ranks. A rank searches its part of the base for all queries, and the k best
// of each part are merged, ties by rank and position; each query is visited once, by one rank. On
// the CPU the result is the same bits at any number of ranks and threads (eval/nearest.h). The
// search is exact: vectors on the CPU by TiledBase, on a GPU by products and top-k there.
#pragma once

#include "dist/communicator.h"
#include "eval/features.h"

#include <functional>
#include <utility>
#include <vector>

namespace cltrain {

/// Cosine similarity and label of a neighbour.
using LabelledNeighbour = std::pair<float, int64_t>;

/// base and queries: this rank's shares, vectors not yet normalised, on one device; `communicator`
/// carries CPU tensors. Calls visit(neighbours, label of the query) for this rank's part of the
/// queries: at most k neighbours, best first.
void visit_neighbours(
    const Features& base, const Features& queries, int64_t k, const Communicator& communicator,
    const std::function<void(const std::vector<LabelledNeighbour>&, int64_t)>& visit);

}  // namespace cltrain
