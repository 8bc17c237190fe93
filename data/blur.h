// Gaussian blur with torchvision's kernel and reflected edges
// (transforms/_functional_tensor.py), computed as two one-dimensional passes in
// float32 and rounded to 8 bits once. Weights so small that all of them
// together move no value by 1/10,000 of a level are left out.
//
// In place, pure, any thread.
#pragma once

#include "data/planes.h"

#include <cstdint>
#include <vector>

namespace cltrain {

/// Memory that is kept from call to call. It carries no state.
struct BlurScratch {
  std::vector<double> density;
  std::vector<float> weight;
  std::vector<const uint8_t*> down;  ///< sources of the pass down
  std::vector<const float*> across;  ///< and of the pass across
  std::vector<float> padded, sum;
  std::vector<uint8_t> plane;
};

/// `kernel` is odd and kernel / 2 < picture.side; sigma > 0, in pixels
/// (std::invalid_argument).
void gaussian_blur(Planes& picture, int64_t kernel, double sigma, BlurScratch& scratch);

}  // namespace cltrain
