// Bicubic resampling with antialiasing, as ATen's _upsample_bicubic2d_aa computes it and
// torchvision uses it (resize on float tensors, then clamp and round to 8 bits): Keys' cubic with a
// = -0.5, stretched by the scale when the picture shrinks, weights normalised over the pixels
// inside. Pure, any thread; the same bits whatever thread calls it.
#pragma once

#include "data/dataset.h"
#include "data/planes.h"

#include <cstdint>

namespace cltrain {

struct Box {
  int64_t top, left, height, width;
};

/// Resizes the part `crop` of `image` to resized_height x resized_width (nothing outside the crop
/// is looked at), and keeps the square of `side` pixels whose corner is (top, left) of the result;
/// `flip` mirrors it left to right.
struct Resampling {
  Box crop;
  int64_t resized_height, resized_width;
  int64_t top = 0, left = 0;
  int64_t side;
  bool flip = false;
};

/// Throws std::invalid_argument for boxes that are empty or leave their picture.
Planes resample(const Image& image, const Resampling& resampling);

}  // namespace cltrain
