// Opens a set of sequences by its options: NAME.txt (a user a line) or NAME.inter (RecBole's
// atomic file) in the folder data.root, thinned out to what data.min_rating, data.user_core and
// data.item_core leave.
//
// Called once at start-up, on every rank, from the main thread. Throws DataError.
#pragma once

#include "data/options.h"
#include "data/sequences/sequence_rows.h"

#include <memory>

namespace cltrain {

/// What users did, thinned out.
Interactions open_interactions(const DataOptions& options);
/// The set that is trained on; its interactions() hold all users, with what evaluation needs.
std::unique_ptr<SequenceSet> open_sequences(const DataOptions& options);

}  // namespace cltrain
