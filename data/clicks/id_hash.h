// The number of an id that is written as text: what tables of embeddings are indexed by, modulo
// their buckets. Stable: FNV-1a with 64 bits (Fowler, Noll and Vo, RFC 9923), then the finaliser of
// MurmurHash3, as FNV's low bits alone mix short texts poorly, then the top bit off, so that the
// result is a positive int64. Part of the file format of checkpoints: never change it.
//
// 0 stands for "no id", which is what the empty text has; no other text has it. Thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace cltrain {

constexpr int64_t id_hash(std::string_view text) {
  if (text.empty()) return 0;
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdu;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53u;
  hash = (hash ^ (hash >> 33)) & 0x7fffffffffffffffu;
  return hash == 0 ? 1 : static_cast<int64_t>(hash);
}

}  // namespace cltrain
