// What takes the place of a sample that cannot be used: another one, drawn with keyed randomness
// (ops/keyed_random.h, Purpose::kReplacement), so that every number of ranks and threads, and a
// continued run, train on the same replacement. Pure functions; any thread.
//
// Draws are with replacement and know nothing of the batch: now and then the replacement is in the
// same global batch already. It has the same views there, as one more negative among many.
#pragma once

#include <cstdint>

namespace cltrain {

/// Replacements that are tried for one bad sample before the run ends with a DataError. In a set of
/// which half is bad, all of them fail once in 2^64 times.
constexpr int64_t kReplacementAttempts = 64;

/// The position, 0 .. size - 1, that replaces the sample `bad_id` (Dataset::source_id) in `epoch`
/// when `attempt` (0 .. kReplacementAttempts - 1) replacements before it were bad, too. Requires
/// 1 <= size <= 2^32.
int64_t replacement_position(uint64_t seed, int64_t epoch, int64_t bad_id, int64_t attempt,
                             int64_t size);

}  // namespace cltrain
