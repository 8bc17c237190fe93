// ResNet-18/34/50/101/152 (He et al., arXiv 1512.03385; the stride of a bottleneck sits on its 3x3
// convolution, as torchvision has it) with torchvision's parameter names and no classifier.
#pragma once

#include "models/nets/encoder.h"
#include "models/nets/layers.h"

#include <memory>

namespace cltrain {

struct ResNetSettings {
  int64_t depth = 18;              ///< 18, 34, 50, 101 or 152
  double width = 1.0;              ///< multiplies every channel count (64 -> round(64 * width))
  bool small_stem = false;         ///< 3x3 stride-1 stem without max-pool, for 32-pixel images
  bool zero_init_residual = true;  ///< last norm of each block starts at 0 (Goyal et al. 2017)
  NormSettings norm;
};

std::shared_ptr<Encoder> make_resnet(const ResNetSettings& settings, uint64_t seed);

}  // namespace cltrain
