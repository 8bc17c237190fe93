// The NCCL process group of CUDA runs. Throws c10::Error in a build without CUDA.
#pragma once

#include "dist/world.h"

#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

namespace cltrain {

/// Collective over all ranks. Ranks meet through a FileStore on one node, a TCPStore across nodes.
c10::intrusive_ptr<c10d::ProcessGroup> open_nccl_group(const World& world, const std::string& name);

}  // namespace cltrain
