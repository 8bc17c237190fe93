// Keyed randomness against the generator's published vectors, against plain Python
// (make_golden_random.py), and against statistics.
#include "ops/keyed_random.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using Words = std::array<uint32_t, 4>;

Words words_of(const PhiloxBlock& block) {
  return {block.word[0], block.word[1], block.word[2], block.word[3]};
}

// kat_vectors of Random123 (Salmon et al., D. E. Shaw Research), the lines of philox4x32 10.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(words_of(philox4x32_10({{0, 0, 0, 0}}, {0, 0})),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t ones = 0xffffffff;
  EXPECT_EQ(words_of(philox4x32_10({{ones, ones, ones, ones}}, {ones, ones})),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(words_of(philox4x32_10({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
                                   {0xa4093822, 0x299f31d0})),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(KeyedRandom, PinnedByPlainPython) {
  const PhiloxKey key = random_key(7, Purpose::kAugmentation, 41);
  EXPECT_EQ(key.low, 0xd28549b5u);
  EXPECT_EQ(key.high, 0x5555612fu);
  EXPECT_EQ(name_id("encoder.conv1.weight"), 0x9bc22d357403u);

  const std::array<uint32_t, 6> expected{0x8a73877e, 0x4e62d984, 0x0d4611f4,
                                         0x65ad4916, 0x2217e051, 0x46bc35b2};
  KeyedStream bits(key, 123456789012, 1, 77);
  for (const uint32_t word : expected) EXPECT_EQ(bits.bits(), word);

  KeyedStream uniforms(key, 123456789012, 1, 77);
  for (const double value : {0.5408253073692322, 0.30619579553604126, 0.05185037851333618,
                             0.3971753716468811, 0.1331768035888672, 0.2763093113899231})
    EXPECT_EQ(uniforms.uniform(), value);

  KeyedStream normals(key, 123456789012, 1, 77);
  for (const double value : {-0.4314368382081276, -0.26055436073541793, -0.08797747440224414})
    EXPECT_NEAR(normals.normal(), value, 1e-15);
}

TEST(KeyedRandom, PurposesKeepTheirNumbers) {
  EXPECT_EQ(static_cast<int>(Purpose::kInitialWeights), 1);
  EXPECT_EQ(static_cast<int>(Purpose::kEpochOrder), 2);
  EXPECT_EQ(static_cast<int>(Purpose::kAugmentation), 3);
  EXPECT_EQ(static_cast<int>(Purpose::kDropout), 4);
}

TEST(KeyedRandom, KeysOfSeedsPurposesAndStepsAreDistinct) {
  std::set<uint64_t> keys;
  size_t asked = 0;
  for (const uint64_t seed : {0ull, 1ull, 2ull, 3ull, 4ull, 41ull, ~0ull})
    for (uint64_t purpose = 1; purpose <= 4; ++purpose)
      for (uint64_t when = 0; when < 5000; ++when, ++asked) {
        const PhiloxKey key = random_key(seed, static_cast<Purpose>(purpose), when);
        keys.insert(uint64_t{key.high} << 32 | key.low);
      }
  EXPECT_EQ(keys.size(), asked);
}

TEST(KeyedRandom, CountersOfPlacesAreDistinct) {
  const uint64_t largest = (uint64_t{1} << 48) - 1;
  std::vector<uint64_t> samples{largest, largest - 1, uint64_t{1} << 32, uint64_t{1} << 47};
  for (uint64_t sample = 0; sample < 20; ++sample) samples.push_back(sample);
  std::vector<uint32_t> sites{63, 64, 255, 256, 2048, 4094, 4095};
  for (uint32_t site = 0; site < 20; ++site) sites.push_back(site);
  const std::vector<uint64_t> indices{0,
                                      1,
                                      2,
                                      15,
                                      4095,
                                      0xffffffff,
                                      uint64_t{1} << 32,
                                      (uint64_t{1} << 32) + 1,
                                      uint64_t{1} << 63,
                                      ~uint64_t{0}};
  std::set<Words> counters;
  for (const uint64_t sample : samples)
    for (uint32_t view = 0; view < 16; ++view)
      for (const uint32_t site : sites)
        for (const uint64_t index : indices)
          counters.insert(words_of(random_counter(sample, view, site, index)));
  EXPECT_EQ(counters.size(), samples.size() * 16 * sites.size() * indices.size());
}

TEST(KeyedRandom, DrawsOfNeighbouringPlacesDiffer) {
  const PhiloxKey key = random_key(1, Purpose::kDropout, 0);
  std::set<std::array<uint32_t, 2>> first_words;
  size_t asked = 0;
  for (uint64_t sample = 0; sample < 40; ++sample)
    for (uint32_t view = 0; view < 4; ++view)
      for (uint32_t site = 0; site < 40; ++site, ++asked) {
        KeyedStream stream(key, sample, view, site);
        const uint32_t word0 = stream.bits();
        first_words.insert({word0, stream.bits()});
      }
  EXPECT_EQ(first_words.size(), asked);
}

TEST(KeyedRandom, TheSecondViewIsUncorrelatedWithTheFirst) {
  const PhiloxKey key = random_key(1, Purpose::kAugmentation, 3);
  constexpr int kDraws = 100000;
  KeyedStream first(key, 12, 0, 5), second(key, 12, 1, 5);
  int equal = 0;
  double product = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double a = first.uniform() - 0.5, b = second.uniform() - 0.5;
    equal += a == b;
    product += a * b;
  }
  EXPECT_LE(equal, 2);  // 24 bits: 0.006 expected
  EXPECT_LT(std::abs(product / kDraws * 12), 5 / std::sqrt(kDraws));
}

TEST(KeyedStream, RepeatsAtTheSamePlace) {
  const PhiloxKey key = random_key(5, Purpose::kEpochOrder, 9);
  KeyedStream one(key, 3, 2, 1), other(key, 3, 2, 1);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(one.bits(), other.bits());
  KeyedStream copy = one;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(one.bits(), copy.bits());
}

TEST(KeyedStream, UniformIsInItsHalfOpenRange) {
  EXPECT_EQ(uniform24(0), 0.0f);
  EXPECT_EQ(uniform24(0xffffffff), 1.0f - 0x1p-24f);
  KeyedStream stream(random_key(1, Purpose::kAugmentation, 0), 0, 0, 0);
  constexpr int kDraws = 200000;
  double sum = 0, squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double value = stream.uniform();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 5 * std::sqrt(1.0 / 12 / kDraws));
  EXPECT_NEAR(squares / kDraws, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / kDraws));
  for (int i = 0; i < 1000; ++i) {
    const double value = stream.uniform(-3, 5);
    ASSERT_GE(value, -3.0);
    ASSERT_LT(value, 5.0);
  }
}

TEST(KeyedStream, BelowFillsSmallRangesEvenly) {
  KeyedStream stream(random_key(2, Purpose::kEpochOrder, 0), 0, 0, 0);
  constexpr int kDraws = 100000, kBound = 10;
  std::array<int, kBound> counts{};
  for (int i = 0; i < kDraws; ++i) {
    const uint64_t value = stream.below(kBound);
    ASSERT_LT(value, uint64_t{kBound});
    ++counts[value];
  }
  double chi_square = 0;
  for (const int count : counts)
    chi_square += std::pow(count - kDraws / kBound, 2) / (kDraws / kBound);
  EXPECT_LT(chi_square, 27.9);  // 9 degrees of freedom, 0.1 %
}

// 2^32 words onto 3 * 2^30 values: without rejection every third value would come twice as often.
TEST(KeyedStream, BelowIsUnbiasedWhereTheBoundDoesNotDivide) {
  KeyedStream stream(random_key(2, Purpose::kEpochOrder, 1), 0, 0, 0);
  const uint64_t bound = uint64_t{3} << 30;
  constexpr int kDraws = 30000;
  std::array<int, 3> counts{};
  for (int i = 0; i < kDraws; ++i) {
    const uint64_t value = stream.below(bound);
    ASSERT_LT(value, bound);
    ++counts[value % 3];
  }
  for (const int count : counts) EXPECT_NEAR(count, kDraws / 3, 5 * std::sqrt(kDraws * 2.0 / 9));
}

TEST(KeyedStream, BelowAtTheEndsOfItsDomain) {
  const PhiloxKey key = random_key(2, Purpose::kEpochOrder, 2);
  KeyedStream stream(key, 0, 0, 0), words(key, 0, 0, 0);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(stream.below(uint64_t{1} << 32), words.bits());
  for (int i = 0; i < 50; ++i) EXPECT_EQ(stream.below(1), 0u);
  EXPECT_THROW(stream.below(0), std::invalid_argument);
  EXPECT_THROW(stream.below((uint64_t{1} << 32) + 1), std::invalid_argument);
}

TEST(KeyedStream, ChanceComesAsOftenAsAsked) {
  KeyedStream stream(random_key(2, Purpose::kAugmentation, 2), 0, 0, 0);
  constexpr int kDraws = 50000;
  int hits = 0;
  for (int i = 0; i < kDraws; ++i) {
    hits += stream.chance(0.8);
    ASSERT_FALSE(stream.chance(0.0));
    ASSERT_TRUE(stream.chance(1.0));
  }
  EXPECT_NEAR(hits, 0.8 * kDraws, 5 * std::sqrt(kDraws * 0.16));
}

TEST(KeyedStream, NormalHasItsMomentsAndTails) {
  KeyedStream stream(random_key(3, Purpose::kInitialWeights, 0), 0, 0, 0);
  constexpr int kDraws = 200000;
  std::array<double, 5> moments{};
  int outside = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double value = stream.normal();
    ASSERT_TRUE(std::isfinite(value));
    for (int power = 1; power <= 4; ++power) moments[power] += std::pow(value, power) / kDraws;
    outside += std::abs(value) > 1.959964;
  }
  const double unit = 5 / std::sqrt(kDraws);
  EXPECT_NEAR(moments[1], 0, unit);
  EXPECT_NEAR(moments[2], 1, unit * std::sqrt(2));
  EXPECT_NEAR(moments[3], 0, unit * std::sqrt(15));
  EXPECT_NEAR(moments[4], 3, unit * std::sqrt(96));
  EXPECT_NEAR(outside, 0.05 * kDraws, 5 * std::sqrt(kDraws * 0.0475));
}

TEST(KeyedStream, RefusesPlacesThatDoNotFit) {
  const PhiloxKey key = random_key(1, Purpose::kDropout, 0);
  EXPECT_NO_THROW(KeyedStream(key, (uint64_t{1} << 48) - 1, 15, 4095));
  EXPECT_THROW(KeyedStream(key, uint64_t{1} << 48, 0, 0), std::invalid_argument);
  EXPECT_THROW(KeyedStream(key, 0, 16, 0), std::invalid_argument);
  EXPECT_THROW(KeyedStream(key, 0, 0, 4096), std::invalid_argument);
}

TEST(NameId, FitsAndTellsNamesApart) {
  std::set<uint64_t> ids;
  size_t asked = 0;
  for (const char* kind : {"conv", "bn", "linear", "layer"})
    for (int i = 0; i < 300; ++i)
      for (const char* part : {".weight", ".bias"}) {
        const uint64_t id = name_id(kind + std::to_string(i) + part);
        EXPECT_EQ(id >> 48, 0u);
        ids.insert(id);
        ++asked;
      }
  EXPECT_EQ(ids.size(), asked);
  EXPECT_NE(name_id(""), name_id(std::string(1, '\0')));
}

}  // namespace
}  // namespace cltrain
