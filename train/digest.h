// The SHA-256 of training state; that of bytes and files is in data/sha256.h.
#pragma once

#include "models/method.h"

#include <map>
#include <string>
#include <vector>

namespace cltrain {

/// Over every counter and every tensor in name order: name, type, shape, bytes. Two runs with the
/// same state have the same digest; one bit of difference changes it.
std::string sha256_of_state(const std::vector<NamedTensor>& tensors,
                            const std::map<std::string, int64_t>& counters);

}  // namespace cltrain
