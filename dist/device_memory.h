// Memory that this rank's tensors take on its GPU.
#pragma once

#include "dist/world.h"

#include <cstdint>

namespace cltrain {

/// Bytes allocated for tensors; 0 on the CPU.
int64_t device_memory_bytes(const World& world);

}  // namespace cltrain
