// Contact sheets: images of any size side by side in one picture, with captions. Used to look at
// neighbours and at augmented views. Pure; any thread. Throws std::invalid_argument for a layout
// that makes no sheet or an image whose pixels are not height x width x 3.
#pragma once

#include "data/dataset.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

struct SheetCell {
  Image image;          ///< without pixels: the cell stays blank
  std::string caption;  ///< under the image, cut to its width (eval/tiny_font.h)
  bool framed = false;  ///< a coloured frame: the query, the original
};

struct SheetLayout {
  int64_t columns = 8;
  int64_t side = 96;   ///< of a cell, pixels; images keep their proportions inside
  int64_t margin = 6;  ///< around the cells; the frame lies in it
};

/// The cells row by row. The height of the sheet follows from their number.
Image contact_sheet(const std::vector<SheetCell>& cells, const SheetLayout& layout);

/// A normalised view [3, H, W], floating point, any device -> 8 bits: value * deviation + mean of
/// its channel, clamped to 0 .. 1 and rounded to 255 steps.
Image image_of_view(const at::Tensor& view, const std::vector<double>& mean,
                    const std::vector<double>& deviation);

}  // namespace cltrain
