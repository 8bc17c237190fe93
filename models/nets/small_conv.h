// A small convolutional net for the quick start: five 3x3 convolutions with norm and ReLU, strides
// 1, 2, 1, 2, 1, then the mean over positions. Channels 32, 64, 64, 128, 256 times the width.
#pragma once

#include "models/nets/encoder.h"
#include "models/nets/layers.h"

#include <memory>

namespace cltrain {

std::shared_ptr<Encoder> make_small_conv(double width, const NormSettings& norm, uint64_t seed);

}  // namespace cltrain
