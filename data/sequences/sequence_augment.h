// Augmentations of lists of items: crop, mask and reorder of CL4SRec (Xie et al., ICDE 2022,
// arXiv 2010.14395), substitute and insert of CoSeRec (Liu et al., arXiv 2108.06479), and the
// choice among them for one view of one user.
//
// Each takes a list, oldest item first, and gives a new one; the source is never written to. Where
// a ratio of n items is taken it is rounded down. A list without items stays without. All draws
// come from the stream given: the same place in the streams, the same result. Pure; any thread.
#pragma once

#include "data/sequences/item_similarity.h"
#include "ops/keyed_random.h"

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace cltrain {

using ItemList = std::vector<int32_t>;

/// A run of ratio * n items, at least 1, from a place where every place is as likely.
ItemList crop_items(std::span<const int32_t> items, double ratio, KeyedStream& stream);
/// ratio * n items, every choice of places as likely, become `mask_id`.
ItemList mask_items(std::span<const int32_t> items, double ratio, int32_t mask_id,
                    KeyedStream& stream);
/// A run of ratio * n items, placed as by crop_items, in a random order.
ItemList reorder_items(std::span<const int32_t> items, double ratio, KeyedStream& stream);
/// ratio * n items, at least 1, become the items most like them.
ItemList substitute_items(std::span<const int32_t> items, double ratio,
                          const Neighbours& neighbours, KeyedStream& stream);
/// ratio * n items, at least 1, get the item most like them inserted *before* them. The list grows
/// by as many: the window that it is written to (write_window) drops the oldest.
ItemList insert_items(std::span<const int32_t> items, double ratio, const Neighbours& neighbours,
                      KeyedStream& stream);

/// The number is the site of the operation's draws (ops/keyed_random.h); 0 is that of the choice.
enum class SequenceOperation : uint32_t {
  kIdentity = 1,
  kCrop = 2,
  kMask = 3,
  kReorder = 4,
  kSubstitute = 5,
  kInsert = 6,
};

/// "crop,mask,reorder": names of operations (identity, crop, mask, reorder, substitute, insert),
/// separated by commas. One may come twice, and is then twice as likely. Throws
/// std::invalid_argument on an unknown name and on an empty list.
std::vector<SequenceOperation> sequence_operations(std::string_view names);

/// The defaults are SRMA's and CL4SRec's; coserec_augmentation() has CoSeRec's.
struct SequenceAugmentSettings {
  /// What view v chooses from, uniformly: choices[v], or the last entry for views beyond it.
  std::vector<std::vector<SequenceOperation>> choices{
      {SequenceOperation::kCrop, SequenceOperation::kMask, SequenceOperation::kReorder}};
  double crop = 0.2;        ///< the part that is kept
  double mask = 0.7;        ///< the part that is masked
  double reorder = 0.2;     ///< the part that changes places
  double substitute = 0.1;  ///< the part that is replaced
  double insert = 0.4;      ///< the part that gets an item before it
  int32_t mask_id = 0;      ///< SRMA and CoSeRec mask with the id of padding

  /// CoSeRec's rule for short lists: those of at most `short_threshold` items choose from
  /// `short_choices`, in every view, and reorder `short_reorder` of their items. 0: no such rule.
  int64_t short_threshold = 0;
  std::vector<SequenceOperation> short_choices{
      SequenceOperation::kSubstitute, SequenceOperation::kInsert, SequenceOperation::kMask};
  double short_reorder = 0.7;  ///< CoSeRec builds it with the ratio of its mask there
};

/// CoSeRec's: lists above 4 items choose among insert, crop, mask, reorder and substitute, others
/// by "SIM": substitute, insert, mask. Its script for Beauty has short_threshold 12, "SIMRC"
/// (`short_choices` with reorder and crop besides), insert 0.5, substitute 0.05.
SequenceAugmentSettings coserec_augmentation();

/// Throws std::invalid_argument on a ratio outside [0, 1], an empty list of choices, a negative
/// threshold or mask_id. To be called once, when the settings are made.
void check(const SequenceAugmentSettings& settings);
/// Whether an operation that needs Neighbours may be chosen.
bool needs_neighbours(const SequenceAugmentSettings& settings);

/// View `view` of the list of `user` (SampleSet::source_id). `key` is random_key(seed,
/// Purpose::kAugmentation, epoch). `view` counts from 0 and stays below 14: the views above are
/// those of other draws (kNegativeView of sequence_rows.h, item_similarity.h). `neighbours` may be
/// empty unless needs_neighbours(); std::invalid_argument otherwise.
ItemList augment(std::span<const int32_t> items, const SequenceAugmentSettings& settings,
                 const Neighbours& neighbours, PhiloxKey key, int64_t user, uint32_t view);

}  // namespace cltrain
