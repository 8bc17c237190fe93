// Bicubic resampling with antialiasing, as ATen's _upsample_bicubic2d_aa
// computes it and torchvision uses it (resize on float tensors, then clamp and
// round to 8 bits): Keys' cubic with a = -0.5, stretched by the scale when the
// picture shrinks, weights normalised over the pixels inside. Boxes may end
// between pixels (of pictures that were decoded reduced); with whole numbers
// the result is torchvision's.
//
// Pure, any thread; the same bits whatever thread calls it.
#pragma once

#include "data/picture.h"
#include "data/planes.h"

#include <cstdint>
#include <vector>

namespace cltrain {

/// Resizes the part `crop` of a picture to resized_height x resized_width (no
/// pixel wholly outside the crop is looked at), and keeps the square of `side`
/// pixels whose corner is (top, left) of the result; `flip` mirrors it left to
/// right.
struct Resampling {
  RealBox crop;  ///< in pixels of Picture::pixels
  int64_t resized_height, resized_width;
  int64_t top = 0, left = 0;
  int64_t side;
  bool flip = false;
};

/// The input pixels first[o] .. first[o] + count[o] - 1 and their weights, for
/// each output o.
struct ResampleFilter {
  int64_t taps = 0;  ///< distance of the rows of weights
  std::vector<int64_t> first, count;
  std::vector<float> weight;  ///< [outputs, taps]
  std::vector<double> cubic;  ///< [taps], of one output, before normalisation
};

/// Memory that is kept from call to call. It carries no state.
struct ResampleScratch {
  ResampleFilter rows, columns;
  std::vector<const uint8_t*> sources;
  std::vector<float> sums;    ///< [4, 3 * columns], filtered down, not yet across
  std::vector<float> across;  ///< [4, side, 4]
};

/// Throws std::invalid_argument for boxes that are empty or leave their
/// picture.
void resample(const Picture& picture, const Resampling& resampling, ResampleScratch& scratch,
              Planes& result);

}  // namespace cltrain
