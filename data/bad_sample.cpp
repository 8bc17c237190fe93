#include "data/bad_sample.h"

#include "ops/keyed_random.h"

namespace cltrain {

int64_t replacement_position(uint64_t seed, int64_t epoch, int64_t bad_id, int64_t attempt,
                             int64_t size) {
  const PhiloxKey key = random_key(seed, Purpose::kReplacement, static_cast<uint64_t>(epoch));
  KeyedStream draws(key, static_cast<uint64_t>(bad_id), 0, static_cast<uint32_t>(attempt));
  return static_cast<int64_t>(draws.below(static_cast<uint64_t>(size)));
}

}  // namespace cltrain
