// What users did, in order: the item lists of all users of one set of sequences, and what is known
// of them. Readers (sequence_text.h, atomic_inter.h) make it, core_filter.h thins it out, and
// leave_one_out.h says which part of a list is for training and which is held out.
//
// Users count from 0, in the order of the file. Items have ids 1 .. items(); 0 is padding, and
// items() + 1 is reserved for "no item" (the mask of the S3-Rec family), so that a table of
// embeddings has items() + 2 rows.
//
// Plain data. Every rank reads its own copy; once made it is not changed, and all functions here
// may be called from any number of threads at once.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cltrain {

struct Interactions {
  std::vector<int64_t> offsets{0};      ///< [users() + 1]: where the list of each user starts
  std::vector<int32_t> item_ids;        ///< [interactions()], each user's oldest first
  std::vector<float> ratings;           ///< aligned with item_ids; empty where the file has none
  std::vector<std::string> user_names;  ///< [users()], as the file has them
  /// [items() + 1], as the file has them; the name of id 0 is empty. A set whose file numbers its
  /// items keeps no names, and item_count instead: the name of item k is "k".
  std::vector<std::string> item_names;
  int32_t item_count = 0;   ///< the largest id
  std::string description;  ///< where it comes from: "ml-100k.inter, ratings from 4, /data/ml-100k"

  int64_t users() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int32_t items() const { return item_count; }
  int64_t interactions() const { return static_cast<int64_t>(item_ids.size()); }

  /// All items of a user, 0 <= user < users().
  std::span<const int32_t> history(int64_t user) const;
  /// The name of item `id` in the file, 1 <= id <= items(). Throws std::out_of_range.
  std::string item_name(int32_t id) const;
};

struct InteractionStatistics {
  int64_t users = 0, interactions = 0;
  int64_t items = 0;  ///< ids that occur; fewer than Interactions::items() if some do not
  int64_t shortest = 0, longest = 0;
  double mean = 0, median = 0;  ///< of the lengths of the lists
  double density = 0;           ///< interactions / (users * items)
  int64_t not_trained = 0;      ///< users with fewer than 4 items, those below among them
  int64_t left_out = 0;         ///< users with fewer than 3 items
};

/// Of a set without users all numbers are 0.
InteractionStatistics statistics(const Interactions& interactions);

/// One line for the start-up print: "22363 users, 12101 items, 198502 interactions, 5 to 204 items
/// a user (mean 8.88, median 6), density 0.0734 %, 0 users not trained on (fewer than 4 items), 0
/// of them left out (fewer than 3)".
std::string statistics_line(const Interactions& interactions);

}  // namespace cltrain
