// Ranks of users' answers among all items (or among drawn negatives): full-ranking evaluation of
// sequential recommenders, by SRMA's protocol (Liu et al., arXiv 2203.15508, section 5.1; its
// published code) or without its peculiarities.
//
//   score of an item  = <representation of the user, row of the item in the table>
//   rank of an answer = 1 + candidates with a higher score + candidates with an equal one and a
//                       smaller id
//
// What a user has seen already (the history):
//   zero     scores 0, as SRMA's code has it: it stays a candidate, and beats whoever is below 0
//   exclude  is no candidate
//   keep     is a candidate like any other
// An answer that is in the history itself (people buy again) gets the score 0 too under `zero`, and
// then rarely wins; under `exclude` it is a miss, rank 0. Both are what the protocol implies, and
// bound HR; they are counted (answers_in_history). Candidates: `items` are 1 .. V - 2; `all_ids`
// has the pad and the reserved id besides, as the original does.
//
// One rank, no communication: sum RankingTally over the ranks. rank() may run at once from several
// threads and uses the intra-op threads. Memory: a copy of the table, tiles of 128 users x 48
// items; no users x items matrix. float32 on the CPU: every score is the same sum in the same order
// wherever it is computed (eval/tile_product.h), so ranks are the same at any number of threads,
// ranks and users in a call. float64 or CUDA: LibTorch's products in chunks of one fixed shape;
// ranks may differ from those where two scores differ by rounding only.
// Errors: c10::Error for what does not fit, for values that are not finite, and for values so large
// that a score could not be.
#pragma once

#include "eval/item_lists.h"
#include "eval/packed_rows.h"
#include "eval/ranking_negatives.h"
#include "eval/ranking_result.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

struct RankingOptions {
  std::string history = "zero";        ///< zero, exclude or keep
  std::string candidates = "all_ids";  ///< all_ids or items
  std::vector<int64_t> cutoffs{5, 10, 20};
};

/// Users to rank; this rank's share or a batch of it.
struct RankingQueries {
  at::Tensor representations;  ///< [n, d], type and device of the item table
  at::Tensor answers;          ///< [n] int64 on the CPU, 1 .. V - 2
  ItemLists history;           ///< n lists, the answer's step and later ones not among them
  at::Tensor users;            ///< [n] int64 on the CPU; only a sampled ranking reads them
};

class ItemRanking {
 public:
  /// items [V, d] float32 or float64, V >= 3: row 0 the pad, row V - 1 the reserved id. It must not
  /// change while this lives. With `negatives` an answer is ranked among those only, and
  /// options.candidates says nothing.
  ItemRanking(const at::Tensor& items, RankingOptions options,
              std::shared_ptr<const NegativeSampler> negatives = nullptr);

  AnswerRanks rank(const RankingQueries& queries) const;

  /// An empty tally of such ranks.
  RankingTally tally() const;

 private:
  struct Block;
  struct Scratch;
  void check(const RankingQueries& queries) const;
  bool has_tiles() const;
  void rank_full(const Block& block, Scratch& scratch) const;
  void rank_sampled(const Block& block, Scratch& scratch) const;
  void score(const float* user, Scratch& scratch) const;
  at::Tensor full_by_torch(const RankingQueries& queries) const;
  at::Tensor sampled_by_torch(const RankingQueries& queries,
                              const std::vector<uint8_t>& again) const;

  at::Tensor items_;
  RankingOptions options_;
  std::shared_ptr<const NegativeSampler> negatives_;
  int64_t first_, candidates_;        ///< candidates are the ids first_ .. first_ + candidates_ - 1
  double largest_ = 0;                ///< absolute value in the table
  std::optional<PackedRows> packed_;  ///< the candidates; float32 on the CPU, full ranking
};

/// All of it: ranks of this rank's users, then the measures over all ranks. Collective;
/// `communicator` carries CPU tensors.
RankingResult rank_answers(const ItemRanking& ranking, const RankingQueries& queries,
                           const Communicator& communicator);

/// The popularity baseline as a table for the same evaluation: [V, 1] float32, for representations
/// that are all one ([n, 1]). counts [V] int64 on the CPU: occurrences in training by id. A score
/// is the place of the count among the distinct counts, so it is exact however large they are; ids
/// that never occur have 0.
at::Tensor popularity_table(const at::Tensor& counts);

}  // namespace cltrain
