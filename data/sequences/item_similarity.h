// The item most like each item, by who bought what together: what CoSeRec substitutes and inserts
// (Liu et al., "Contrastive Self-supervised Sequential Recommendation with Robust Augmentation",
// arXiv 2108.06479).
//
// Only training inputs (items[:-3], leave_one_out.h) are read: nothing held out can leak into the
// augmentation. Pure functions, sums in float64 in the order of users and items: the same result on
// every rank and in every run. The time grows with the sum over users of the square of their
// different items (item2vec: with the sum over items of the square of their different neighbours):
// 20,000 items and 300,000 interactions take 0.05 s (item2vec: 1.5 s), and many users with
// thousands of items take minutes.
#pragma once

#include "data/sequences/interactions.h"
#include "ops/keyed_random.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace cltrain {

/// The nearest other item of every id, 0 and items() + 1 included.
struct Neighbours {
  std::vector<int32_t> best;     ///< [items() + 2], each 1 .. items()
  std::vector<float> score;      ///< [items() + 2]
  float least = 0, largest = 0;  ///< of the scores of all pairs, not of the nearest alone
};

/// With U_i the users whose training input has item i (repeats count once), and n_u the different
/// items of user u:
enum class ItemSimilarity {
  /// |U_i and U_j| / sqrt(|U_i| |U_j|)
  kItemCf,
  /// sum over u in both of 1 / log(1 + n_u), / sqrt(|U_i| |U_j|): who bought everything says
  /// little.
  kItemCfIuf,
  /// Like item2vec (Barkan and Koenigstein, 2016), which is word2vec on lists of items, but by the
  /// matrix that word2vec factorises (Levy and Goldberg, NIPS 2014), without training: c_ij counts
  /// pairs of i and j, i != j, at most 5 places apart; M_ij = max(0, log(c_ij c / (c_i c_j))) with
  /// c_i, c the sums of rows and of all; the score is the cosine of rows i and j of M.
  kItem2Vec,
  /// A keyed random other item, score 0.
  kRandom,
};

/// "itemcf", "itemcf_iuf", "item2vec", "random". Throws std::invalid_argument on another name.
ItemSimilarity item_similarity(std::string_view name);

/// Of equal scores the lower id wins. An id that no other item has a score above 0 with (it is in
/// no training input, or alone in all) gets a random other item and score 0, drawn with `key` at
/// sample id = the id, view 14, site 0. In a set of one item that item is its own neighbour.
Neighbours most_similar(const Interactions& interactions, ItemSimilarity similarity, PhiloxKey key);

/// CoSeRec's hybrid: of each id the neighbour whose score is larger after each side's scores were
/// mapped by its `least` to 0 and its `largest` to 1 (all 0 where these are equal); `one` where
/// they tie. The scores are the mapped ones. Throws std::invalid_argument if the sizes differ.
Neighbours hybrid(const Neighbours& one, const Neighbours& other);

}  // namespace cltrain
