#include "eval/contact_sheet.h"

#include "data/resample.h"
#include "eval/tiny_font.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace cltrain {
namespace {

using Colour = std::array<uint8_t, 3>;

constexpr Colour kPaper{255, 255, 255}, kInk{34, 34, 34}, kFrame{213, 94, 0};
constexpr int64_t kFrameWidth = 3;

// A picture under construction.
class Canvas {
 public:
  Canvas(int64_t height, int64_t width)
      : image_{height, width, std::vector<uint8_t>(static_cast<size_t>(height * width * 3), 255)} {}

  void set(int64_t y, int64_t x, const Colour& colour) {
    if (y < 0 || x < 0 || y >= image_.height || x >= image_.width) return;
    std::copy(colour.begin(), colour.end(), image_.pixels.begin() + (y * image_.width + x) * 3);
  }
  void fill(int64_t top, int64_t left, int64_t height, int64_t width, const Colour& colour) {
    for (int64_t y = top; y < top + height; ++y)
      for (int64_t x = left; x < left + width; ++x) set(y, x, colour);
  }
  Image take() { return std::move(image_); }

 private:
  Image image_;
};

// Captions of large cells are drawn at twice the size.
int64_t zoom_of(const SheetLayout& layout) {
  return layout.side >= 160 ? 2 : 1;
}

void draw_text(Canvas& canvas, int64_t top, int64_t left, int64_t width, int64_t zoom,
               const std::string& text) {
  const int64_t advance = (kGlyphWidth + 1) * zoom;
  const int64_t fits = std::min<int64_t>(static_cast<int64_t>(text.size()), width / advance);
  left += (width - fits * advance) / 2;
  for (int64_t i = 0; i < fits; ++i) {
    const auto columns = glyph(text[static_cast<size_t>(i)]);
    for (int64_t x = 0; x < kGlyphWidth; ++x)
      for (int64_t y = 0; y < kGlyphHeight; ++y)
        if (columns[static_cast<size_t>(x)] >> y & 1)
          canvas.fill(top + y * zoom, left + i * advance + x * zoom, zoom, zoom, kInk);
  }
}

// The image on a square of paper, so that it can be resampled whole.
Image squared(const Image& image) {
  const int64_t side = std::max(image.height, image.width);
  Image result{side, side, std::vector<uint8_t>(static_cast<size_t>(side * side * 3), kPaper[0])};
  const int64_t top = (side - image.height) / 2, left = (side - image.width) / 2;
  for (int64_t y = 0; y < image.height; ++y)
    std::copy_n(image.pixels.begin() + y * image.width * 3, image.width * 3,
                result.pixels.begin() + ((top + y) * side + left) * 3);
  return result;
}

void draw_image(Canvas& canvas, int64_t top, int64_t left, int64_t side, const Image& image) {
  const Image square = squared(image);
  Planes planes;
  ResampleScratch scratch;
  resample(whole_picture(square),
           {.crop = {0, 0, static_cast<double>(square.height), static_cast<double>(square.width)},
            .resized_height = side,
            .resized_width = side,
            .side = side},
           scratch, planes);
  for (int64_t y = 0; y < side; ++y)
    for (int64_t x = 0; x < side; ++x) {
      const int64_t at = y * side + x;
      canvas.set(top + y, left + x,
                 {planes.plane(0)[at], planes.plane(1)[at], planes.plane(2)[at]});
    }
}

void check(const std::vector<SheetCell>& cells, const SheetLayout& layout) {
  if (layout.columns < 1 || layout.side < 8 || layout.side > 4096 || layout.margin < kFrameWidth ||
      layout.margin > 1024 || cells.empty())
    throw std::invalid_argument(
        "contact sheet: " + std::to_string(cells.size()) + " cells in " +
        std::to_string(layout.columns) + " columns, side " + std::to_string(layout.side) +
        ", margin " + std::to_string(layout.margin) +
        "; allowed: at least 1 cell and column, sides of 8 to 4096, margins of 3 to 1024");
  for (const SheetCell& cell : cells)
    if (cell.image.pixels.size() != static_cast<size_t>(cell.image.height * cell.image.width * 3))
      throw std::invalid_argument("contact sheet: an image of " +
                                  std::to_string(cell.image.height) + " x " +
                                  std::to_string(cell.image.width) + " with " +
                                  std::to_string(cell.image.pixels.size()) + " bytes");
}

}  // namespace

Image contact_sheet(const std::vector<SheetCell>& cells, const SheetLayout& layout) {
  check(cells, layout);
  const bool captions = std::any_of(cells.begin(), cells.end(),
                                    [](const SheetCell& cell) { return !cell.caption.empty(); });
  const int64_t zoom = zoom_of(layout), gap = kFrameWidth + 2;
  const int64_t cell_height = layout.side + (captions ? gap + kGlyphHeight * zoom : 0);
  const auto count = static_cast<int64_t>(cells.size());
  const int64_t columns = std::min(layout.columns, count);
  const int64_t rows = (count + columns - 1) / columns;
  Canvas canvas(rows * (cell_height + layout.margin) + layout.margin,
                columns * (layout.side + layout.margin) + layout.margin);
  for (int64_t i = 0; i < count; ++i) {
    const SheetCell& cell = cells[static_cast<size_t>(i)];
    const int64_t top = layout.margin + i / columns * (cell_height + layout.margin);
    const int64_t left = layout.margin + i % columns * (layout.side + layout.margin);
    if (cell.framed) {
      const int64_t outer = layout.side + 2 * kFrameWidth;
      canvas.fill(top - kFrameWidth, left - kFrameWidth, outer, outer, kFrame);
      canvas.fill(top, left, layout.side, layout.side, kPaper);
    }
    if (!cell.image.pixels.empty()) draw_image(canvas, top, left, layout.side, cell.image);
    draw_text(canvas, top + layout.side + gap, left, layout.side, zoom, cell.caption);
  }
  return canvas.take();
}

Image image_of_view(const at::Tensor& view, const std::vector<double>& mean,
                    const std::vector<double>& deviation) {
  if (view.dim() != 3 || view.size(0) != 3 || mean.size() != 3 || deviation.size() != 3)
    throw std::invalid_argument(
        "image_of_view: a view [3, H, W] with three means and deviations; "
        "received " +
        std::to_string(view.dim()) + " dimensions, " + std::to_string(mean.size()) + " means, " +
        std::to_string(deviation.size()) + " deviations");
  const at::Tensor values = view.detach().to(c10::kCPU, at::kDouble).contiguous();
  Image image{values.size(1), values.size(2), {}};
  const int64_t area = image.height * image.width;
  image.pixels.resize(static_cast<size_t>(3 * area));
  const double* from = values.const_data_ptr<double>();
  for (int64_t channel = 0; channel < 3; ++channel)
    for (int64_t at = 0; at < area; ++at) {
      const double value = from[channel * area + at] * deviation[static_cast<size_t>(channel)] +
                           mean[static_cast<size_t>(channel)];
      image.pixels[static_cast<size_t>(3 * at + channel)] =
          static_cast<uint8_t>(std::lround(std::clamp(value, 0.0, 1.0) * 255));
    }
  return image;
}

}  // namespace cltrain
