#include "monitoring/plot_panel.h"

#include "monitoring/axis.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

namespace cltrain {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

/// Text as it may stand in XML: valid UTF-8, no mark-up, no control characters.
std::string escaped(const std::string& text) {
  using nlohmann::json;
  const std::string valid =
      json::parse(json(text).dump(-1, ' ', false, json::error_handler_t::replace));
  std::string out;
  for (const char c : valid) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out;
}

std::string text_at(double x, double y, const std::string& text, const std::string& attributes) {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" " + attributes + ">" +
         escaped(text) + "</text>\n";
}

std::string line_from(double x1, double y1, double x2, double y2, const std::string& attributes) {
  return "<line x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" + number(x2) +
         "\" y2=\"" + number(y2) + "\" " + attributes + "/>\n";
}

std::string stroke(const Line& line, double width, double opacity) {
  std::string out = "stroke=\"" + line.colour + "\" stroke-width=\"" + number(width) + "\"";
  if (!line.dash.empty()) out += " stroke-dasharray=\"" + line.dash + "\"";
  if (opacity < 1) out += " stroke-opacity=\"" + number(opacity) + "\"";
  return out;
}

size_t window_of(const Curve& curve) {
  return std::max<size_t>(5, curve.size() / 40) | 1;
}

bool is_baseline(const Curve& curve) {
  return curve.size() == 1 && curve.steps[0] == 0;
}

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kLeft = 62, kRight = 14, kAbove = 34, kBelow = 42;  // around the axes
constexpr size_t kMarkers = 40;                                      // more would hide the line

Line dotted(Line line) {
  line.dash = "2 4";
  return line;
}

/// Where a panel's axes are, and what they show.
struct Frame {
  double x, y, width, height;
  Axis across, up;

  double at_x(double step) const { return x + width * across.place(step); }
  double at_y(double value) const { return y + height * (1 - up.place(value)); }
};

std::string path_of(const Frame& frame, const Curve& curve, const std::string& attributes) {
  std::string points;
  bool drawing = false;
  for (size_t i = 0; i < curve.size(); ++i) {
    if (!std::isfinite(curve.values[i])) {
      drawing = false;
      continue;
    }
    // A point between two gaps is a line of no length, which its round ends make visible.
    points += (drawing ? "L" : "M") + number(frame.at_x(curve.steps[i])) + " " +
              number(frame.at_y(curve.values[i])) + (drawing ? "" : "h0");
    drawing = true;
  }
  return "<path d=\"" + points + "\" fill=\"none\" stroke-linejoin=\"round\" " +
         "stroke-linecap=\"round\" " + attributes + "/>\n";
}

bool drawn_as_mean(const Panel& panel, const Curve& curve) {
  return panel.smooth && is_noisy(curve);
}

std::string drawn(const Frame& frame, const Panel& panel, const Line& line, size_t points) {
  if (is_baseline(line.curve)) {
    const double y = frame.at_y(line.curve.values[0]);
    return line_from(frame.x, y, frame.x + frame.width, y, stroke(dotted(line), 1.6, 1));
  }
  if (drawn_as_mean(panel, line.curve))
    return path_of(frame, thinned(moving_mean(line.curve, window_of(line.curve)), points),
                   stroke(line, 2, 1));
  std::string out = path_of(frame, thinned(line.curve, points), stroke(line, 2, 1));
  if (!line.markers || line.curve.size() > kMarkers) return out;
  for (size_t i = 0; i < line.curve.size(); ++i)
    if (std::isfinite(line.curve.values[i]))
      out += "<circle cx=\"" + number(frame.at_x(line.curve.steps[i])) + "\" cy=\"" +
             number(frame.at_y(line.curve.values[i])) + "\" r=\"3\" fill=\"" + line.colour +
             "\"/>\n";
  return out;
}

/// Values from low to high that the panel is to show. Of a noisy curve all but the outermost: one
/// wild step must not flatten the rest.
std::pair<double, double> range_of(const Panel& panel) {
  double low = kNaN, high = kNaN;
  for (const Line& line : panel.lines) {
    const double outer = panel.smooth && line.curve.size() > 200 ? 0.002 : 0;
    low = std::fmin(low, quantile(line.curve.values, outer));
    high = std::fmax(high, quantile(line.curve.values, 1 - outer));
  }
  if (std::isnan(high)) return {kNaN, kNaN};
  if (panel.from_zero) return {0, high > 0 ? 1.08 * high : 1};
  const double room = 0.06 * (high - low);
  low -= room;
  high += room;
  if (panel.percent) {
    low = std::fmax(low, 0);
    high = std::fmin(high, 1);
  }
  return {low, high};
}

std::string grid(const Frame& frame, const Panel& panel) {
  std::string out;
  const std::string small = "font-size=\"12\" fill=\"#555\"";
  for (const double tick : frame.up.ticks) {
    const double y = frame.at_y(tick);
    const double shown = panel.percent ? 100 : 1;
    out += line_from(frame.x, y, frame.x + frame.width, y, "stroke=\"#e4e4e4\"");
    out += text_at(frame.x - 8, y + 4,
                   tick_label(shown * tick, shown * frame.up.step) + (panel.percent ? " %" : ""),
                   small + " text-anchor=\"end\"");
  }
  const double bottom = frame.y + frame.height;
  for (const double tick : frame.across.ticks) {
    const double x = frame.at_x(tick);
    out += line_from(x, bottom, x, bottom + 4, "stroke=\"#999\"");
    out += text_at(x, bottom + 18, tick_label(tick, frame.across.step),
                   small + " text-anchor=\"middle\"");
  }
  out += line_from(frame.x, bottom, frame.x + frame.width, bottom, "stroke=\"#999\"");
  return out +
         text_at(frame.x + frame.width / 2, bottom + 35, "step", small + " text-anchor=\"middle\"");
}

/// Labels of the panel's lines: right-aligned beside its title, those of baselines on their lines.
/// Widths of text are estimates.
std::string line_labels(const Frame& frame, const Panel& panel) {
  std::string out;
  double x = frame.x + frame.width;
  std::set<std::string> seen;
  for (auto line = panel.lines.rbegin(); line != panel.lines.rend(); ++line) {
    if (!seen.insert(line->label).second) continue;
    Line sample = *line;
    if (!panel.one_run) sample.colour = "#444";
    if (is_baseline(line->curve)) {
      // At the top of the panel the label goes under its line, out of the key's way.
      const double at = frame.at_y(line->curve.values[0]) - 5;
      out += text_at(frame.x + frame.width - 2, at < frame.y + 8 ? at + 20 : at, line->label,
                     "font-size=\"12\" fill=\"" + sample.colour + "\" text-anchor=\"end\"");
      continue;
    }
    x -= 7 * static_cast<double>(line->label.size());
    out += text_at(x, frame.y - 14, line->label, "font-size=\"12\" fill=\"#333\"");
    out += line_from(x - 30, frame.y - 18, x - 6, frame.y - 18, stroke(sample, 2, 1));
    x -= 46;
  }
  return out;
}

}  // namespace

std::string panel_at(double x, double y, double width, double height, const Panel& panel,
                     double last_step, size_t points) {
  Frame frame{.x = x + kLeft,
              .y = y + kAbove,
              .width = width - kLeft - kRight,
              .height = height - kAbove - kBelow};
  const auto [low, high] = range_of(panel);
  const bool empty = std::isnan(high);
  frame.across = make_axis(0, last_step, 6);
  frame.up = make_axis(low, high, 6);
  const std::string id = "in" + std::to_string(static_cast<int>(x + 10000 * y));
  std::string out = "<g role=\"group\" aria-label=\"" + escaped(panel.title) + "\">\n" +
                    text_at(x + 10, frame.y - 14, panel.title,
                            "font-size=\"15\" font-weight=\"600\" fill=\"#222\"") +
                    "<clipPath id=\"" + id + "\"><rect x=\"" + number(frame.x - 4) + "\" y=\"" +
                    number(frame.y - 4) + "\" width=\"" + number(frame.width + 8) + "\" height=\"" +
                    number(frame.height + 8) + "\"/></clipPath>\n";
  if (empty)
    return out +
           text_at(frame.x + frame.width / 2, frame.y + frame.height / 2, "nothing measured yet",
                   "font-size=\"13\" fill=\"#777\" text-anchor=\"middle\"") +
           "</g>\n";
  out += grid(frame, panel) + (panel.labelled ? line_labels(frame, panel) : "");
  out += "<g clip-path=\"url(#" + id + ")\">\n";
  // Every mean lies over every noise.
  for (const Line& line : panel.lines)
    if (drawn_as_mean(panel, line.curve))
      out += path_of(frame, thinned(line.curve, points), stroke(line, 1, 0.25));
  for (const Line& line : panel.lines) out += drawn(frame, panel, line, points);
  return out + "</g>\n</g>\n";
}

}  // namespace cltrain
