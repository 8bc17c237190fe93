// Keyed randomness: every random number is a pure function of
//   (seed, purpose, epoch or step, sample id, view, site, index).
// No generator has state, so nothing random is in a checkpoint, and the number of ranks, of loader
// threads and of intra-op threads changes no draw.
//
// The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011, section 5.2): a block function from (key 64 bits, counter 128 bits) to four 32-bit
// words.
//   key     = hash(seed, purpose, when)          `when` is the epoch or the step, as the purpose
//   says counter = index 64 | site 12 | view 4 | sample id 48     (least significant first)
// Free of torch: the CUDA kernels include this header and draw the same bits. Thread-safe.
#pragma once

#include "ops/host_device.h"

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace cltrain {

/// What a number is drawn for. Numbers are part of the file format of experiments: never reuse one.
enum class Purpose : uint64_t {
  kInitialWeights = 1,   ///< when = 0, sample id = hash of the parameter's name
  kEpochOrder = 2,       ///< when = epoch
  kAugmentation = 3,     ///< when = epoch, site = the transform's number
  kDropout = 4,          ///< when = step, site = the dropout's number in the network
  kReplacement = 5,      ///< when = epoch, sample id = the bad sample's, site = the attempt
  kProbe = 6,            ///< when = epoch of the linear probe
  kShuffle = 7,          ///< when = step: rows between ranks, for batch norm
  kQueue = 8,            ///< when = 0, sample id = slot: keys of a queue at the start
  kLayerDrop = 9,        ///< when = step, view = the view whose layers are drawn (0 where shared)
  kSampledRanking = 10,  ///< when = 0: negatives of a sampled ranking
};

struct PhiloxKey {
  uint32_t low, high;
};
struct PhiloxBlock {
  uint32_t word[4];
};

/// One Philox4x32-10 block. The public known-answer vectors are in tests/ops/keyed_random_test.cpp.
CLTRAIN_HOST_DEVICE inline PhiloxBlock philox4x32_10(PhiloxBlock counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter.word[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter.word[2];
    counter = {{static_cast<uint32_t>(product1 >> 32) ^ counter.word[1] ^ key.low,
                static_cast<uint32_t>(product1),
                static_cast<uint32_t>(product0 >> 32) ^ counter.word[3] ^ key.high,
                static_cast<uint32_t>(product0)}};
    key.low += 0x9E3779B9u;
    key.high += 0xBB67AE85u;
  }
  return counter;
}

/// The key of all draws of one purpose at one epoch or step.
PhiloxKey random_key(uint64_t seed, Purpose purpose, uint64_t when);

/// A stable 48-bit id of a name, for draws that belong to a parameter rather than to a sample.
uint64_t name_id(std::string_view name);

/// The counter of block `index` at (sample_id < 2^48, view < 16, site < 4096).
CLTRAIN_HOST_DEVICE inline PhiloxBlock random_counter(uint64_t sample_id, uint32_t view,
                                                      uint32_t site, uint64_t index) {
  const uint64_t place = (sample_id << 16) | (uint64_t{view & 15u} << 12) | (site & 4095u);
  return {{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
           static_cast<uint32_t>(place), static_cast<uint32_t>(place >> 32)}};
}

/// A word as a uniform number in [0, 1) with 24 bits: exact in float and double, CPU and CUDA.
CLTRAIN_HOST_DEVICE inline float uniform24(uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24f;
}

/// The draws of one (key, sample, view, site), read one after the other. Cheap to copy; two streams
/// of the same place give the same numbers.
class KeyedStream {
 public:
  /// Requires sample_id < 2^48, view < 16, site < 4096 (throws std::invalid_argument).
  KeyedStream(PhiloxKey key, uint64_t sample_id, uint32_t view, uint32_t site);

  uint32_t bits();                          ///< the next 32 bits
  double uniform();                         ///< in [0, 1), 24 bits
  double uniform(double low, double high);  ///< low + (high - low) * uniform()
  uint64_t below(uint64_t bound);           ///< unbiased in [0, bound); bound in [1, 2^32]
  bool chance(double probability);          ///< uniform() < probability
  double normal();                          ///< N(0, 1) by Box-Muller; consumes two words

 private:
  PhiloxKey key_;
  uint64_t sample_id_;
  uint32_t view_, site_;
  uint64_t index_ = 0;
  uint32_t used_ = 4;
  PhiloxBlock block_{};
};

/// 0 .. size - 1 in an order drawn with the stream (key, 0, 0, 0), every order equally likely
/// (Fisher-Yates). Requires 0 <= size <= 2^32.
std::vector<int64_t> keyed_permutation(PhiloxKey key, int64_t size);

}  // namespace cltrain
