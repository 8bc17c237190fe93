// One panel of a picture: a title, axes, and lines over steps, as SVG. monitoring/plot.cpp makes
// four.
//
// Pure functions, any thread. Coordinates are the picture's units, y downwards.
#pragma once

#include "monitoring/curves.h"

#include <cstddef>
#include <string>
#include <vector>

namespace cltrain {

struct Line {
  Curve curve;
  std::string colour, dash, label;
  bool markers = false;
};

struct Panel {
  std::string title;
  std::vector<Line> lines;
  bool from_zero = false;
  bool percent = false;
  bool smooth = false;
  bool labelled = false;  ///< the lines' labels stand beside the title
  bool one_run = true;    ///< else labels tell dashes, not colours
};

/// A single value of step 0: what the run is compared with.
bool is_baseline(const Curve& curve);

/// Values that the moving mean of a noisy curve is taken over.
size_t window_of(const Curve& curve);

/// `text` as it may stand in XML: valid UTF-8, no mark-up, no control characters.
std::string escaped(const std::string& text);

std::string number(double value);  ///< of a coordinate
std::string text_at(double x, double y, const std::string& text, const std::string& attributes);
std::string line_from(double x1, double y1, double x2, double y2, const std::string& attributes);
std::string stroke(const Line& line, double width, double opacity);

/// The panel in the rectangle at x, y. `last_step` ends its axis of steps; a drawn curve has at
/// most `points` points.
std::string panel_at(double x, double y, double width, double height, const Panel& panel,
                     double last_step, size_t points);

}  // namespace cltrain
