// The fingerprint of a global batch: which samples, in which order. Equal for equal batches
// whatever the rank count, so two metrics.jsonl can be compared line by line.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include <ATen/core/Tensor.h>

namespace cltrain {

/// 64-bit FNV-1a over the little-endian bytes of ids [B] int64, as 16 hexadecimal digits.
inline std::string hash_of_ids(const at::Tensor& ids) {
  uint64_t hash = 0xcbf29ce484222325ull;
  const auto* values = ids.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < ids.numel(); ++i)
    for (int byte = 0; byte < 8; ++byte) {
      hash ^= (static_cast<uint64_t>(values[i]) >> (8 * byte)) & 0xff;
      hash *= 0x100000001b3ull;
    }
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

}  // namespace cltrain
