// R3D-18 and R(2+1)D-18 (Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action
// Recognition", arXiv 1711.11248) with the parameter names of torchvision.models.video and no
// classifier. R(2+1)D cuts each 3 x 3 x 3 convolution into one over space and one over time with as
// many weights together; a norm and a ReLU stand between them.
//
// Norms start at 1 and 0, as torchvision's do: the last norm of a block is not zeroed here.
#pragma once

#include "models/nets/encoder.h"
#include "models/nets/layers.h"

#include <memory>

namespace cltrain {

struct VideoResNetSettings {
  bool split = false;  ///< R(2+1)D: space and time apart
  double width = 1.0;  ///< multiplies every channel count (64 -> round(64 * width))
  NormSettings norm;
};

/// Clips [N, 3, T, H, W] -> features [N, 512 * width]. Any T, H and W from 1.
std::shared_ptr<Encoder> make_video_resnet(const VideoResNetSettings& settings, uint64_t seed);

}  // namespace cltrain
