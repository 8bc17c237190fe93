// The colour transforms of torchvision's ColorJitter and RandomGrayscale, in place, on 8-bit
// pictures: the arithmetic, its order and its rounding are those of torchvision's
// transforms/_functional_tensor.py on uint8 tensors, so results agree to the bit but for the last
// rounding of a mean.
//
// Pure, any thread. Loops are compiled for several instruction sets (ops/simd.h), with the same
// results on each: this room is compiled without fused multiplications, because a value on the edge
// between two levels would fall to the other side.
#pragma once

#include "data/planes.h"

namespace cltrain {

void adjust_brightness(Planes& picture,
                       double factor);  ///< factor >= 0; 1 changes nothing
void adjust_contrast(Planes& picture,
                     double factor);  ///< away from the mean grey
void adjust_saturation(Planes& picture,
                       double factor);  ///< away from each pixel's grey
void adjust_hue(Planes& picture,
                double turn);     ///< -0.5 .. 0.5 of the colour circle, HSV
void make_gray(Planes& picture);  ///< 0.2989 R + 0.587 G + 0.114 B

}  // namespace cltrain
