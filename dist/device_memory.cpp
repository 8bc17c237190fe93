#include "dist/device_memory.h"

#ifdef CLTRAIN_CUDA
#include <c10/cuda/CUDACachingAllocator.h>
#endif

namespace cltrain {

int64_t device_memory_bytes(const World& world) {
#ifdef CLTRAIN_CUDA
  if (world.device.is_cuda()) {
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(world.device.index());
    return stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)]
        .current;
  }
#endif
  return 0;
}

}  // namespace cltrain
