#include "ops/keyed_random.h"

#include <cmath>
#include <numbers>
#include <numeric>
#include <stdexcept>
#include <string>

namespace cltrain {
namespace {

// Finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection of 64 bits.
uint64_t mix(uint64_t value) {
  value += 0x9E3779B97F4A7C15ull;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBull;
  return value ^ (value >> 31);
}

}  // namespace

PhiloxKey random_key(uint64_t seed, Purpose purpose, uint64_t when) {
  const uint64_t hash = mix(mix(mix(seed) ^ static_cast<uint64_t>(purpose)) ^ when);
  return {static_cast<uint32_t>(hash), static_cast<uint32_t>(hash >> 32)};
}

uint64_t name_id(std::string_view name) {
  uint64_t hash = mix(name.size());
  for (const char letter : name) hash = mix(hash ^ static_cast<unsigned char>(letter));
  return hash >> 16;
}

KeyedStream::KeyedStream(PhiloxKey key, uint64_t sample_id, uint32_t view, uint32_t site)
    : key_(key), sample_id_(sample_id), view_(view), site_(site) {
  if (sample_id >> 48 || view >= 16 || site >= 4096)
    throw std::invalid_argument("keyed random: sample id " + std::to_string(sample_id) + ", view " +
                                std::to_string(view) + ", site " + std::to_string(site) +
                                " do not fit; allowed: below 2^48, 16 and 4096");
}

uint32_t KeyedStream::bits() {
  if (used_ == 4) {
    block_ = philox4x32_10(random_counter(sample_id_, view_, site_, index_++), key_);
    used_ = 0;
  }
  return block_.word[used_++];
}

double KeyedStream::uniform() {
  return uniform24(bits());
}

double KeyedStream::uniform(double low, double high) {
  return low + (high - low) * uniform();
}

uint64_t KeyedStream::below(uint64_t bound) {
  if (bound == 0 || bound > (uint64_t{1} << 32))
    throw std::invalid_argument("keyed random: below(" + std::to_string(bound) +
                                "); allowed: 1 to 2^32");
  // Lemire's multiply-and-shift with rejection (ACM TOMACS 29(1), 2019): unbiased.
  const uint64_t threshold = ((uint64_t{1} << 32) - bound) % bound;
  for (;;) {
    const uint64_t product = bits() * bound;
    if (static_cast<uint32_t>(product) >= threshold || threshold == 0) return product >> 32;
  }
}

bool KeyedStream::chance(double probability) {
  return uniform() < probability;
}

double KeyedStream::normal() {
  // 1 - u is in (0, 1]: the logarithm is finite.
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

std::vector<int64_t> keyed_permutation(PhiloxKey key, int64_t size) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), int64_t{0});
  KeyedStream stream(key, 0, 0, 0);
  for (size_t left = order.size(); left > 1; --left)
    std::swap(order[left - 1], order[stream.below(left)]);
  return order;
}

}  // namespace cltrain
