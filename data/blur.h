// Gaussian blur with torchvision's kernel and reflected edges (transforms/_functional_tensor.py),
// computed as two one-dimensional passes in float32 and rounded to 8 bits once. In place, pure, any
// thread.
#pragma once

#include "data/planes.h"

#include <cstdint>

namespace cltrain {

/// `kernel` is odd and kernel / 2 < picture.side; sigma > 0, in pixels (std::invalid_argument).
void gaussian_blur(Planes& picture, int64_t kernel, double sigma);

}  // namespace cltrain
