#include "monitoring/plot.h"

#include "monitoring/curves.h"
#include "monitoring/plot_panel.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>

namespace cltrain {
namespace {

// Units of the picture.
constexpr double kWidth = 1200, kMargin = 28, kTop = 62, kLegendRow = 22, kPanelHeight = 300;

constexpr std::array<const char*, 7> kColours = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                                 "#E69F00", "#56B4E9", "#000000"};
constexpr std::array<const char*, 4> kDashes = {"", "7 4", "2 3", "9 3 2 3"};

std::string colour_of(size_t run) {
  return kColours[run % kColours.size()];
}

std::string dash_of(size_t run) {
  return kDashes[run / kColours.size() % kDashes.size()];
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return text;
}

/// "117 steps, loss 4.93, knn 71.2 %": where the run is.
std::string standing(const RunCurves& run) {
  char text[96];
  // What the end of the curve shows: its mean where it is drawn as one.
  const Curve shown = is_noisy(run.loss) ? moving_mean(run.loss, window_of(run.loss)) : run.loss;
  std::snprintf(text, sizeof text, "%.0f steps, loss %.4g", run.loss.steps.back(),
                shown.values.back());
  std::string out = text;
  for (const auto& [probe, curve] : run.accuracy)
    if (!is_baseline(curve)) out += ", " + probe + " " + percent(curve.values.back());
  return out;
}

/// One row a run: its colour, its name unless that is the title, and where it is.
std::string legend(const std::vector<std::string>& names, const std::vector<RunCurves>& runs) {
  std::string out;
  for (size_t r = 0; r < runs.size(); ++r) {
    const Line sample{.colour = colour_of(r), .dash = dash_of(r)};
    const double y = kTop + kLegendRow * static_cast<double>(r);
    const std::string text = (runs.size() == 1 ? "" : names[r] + ": ") + standing(runs[r]);
    out += line_from(kMargin + 10, y + 4, kMargin + 38, y + 4, stroke(sample, 3, 1)) +
           text_at(kMargin + 48, y + 8, text, "font-size=\"13\" fill=\"#333\"");
  }
  return out;
}

std::vector<Panel> panels_of(const std::vector<RunCurves>& runs) {
  const bool ranking =
      std::any_of(runs.begin(), runs.end(), [](const RunCurves& run) { return run.ranking; });
  std::vector<Panel> panels = {{.title = "Loss", .smooth = true},
                               {.title = ranking ? "NDCG@20" : "Accuracy",
                                .percent = true,
                                .labelled = true,
                                .one_run = runs.size() == 1},
                               {.title = "Samples per second", .from_zero = true, .smooth = true},
                               {.title = "Learning rate", .from_zero = true}};
  std::map<std::string, size_t> probes;  // every run's, so that a probe looks alike in all
  for (const RunCurves& run : runs)
    for (const auto& [probe, curve] : run.accuracy) probes.emplace(probe, 0);
  size_t next = 0;
  for (auto& [probe, index] : probes) index = next++;
  for (size_t r = 0; r < runs.size(); ++r) {
    const std::string colour = colour_of(r), dash = dash_of(r);
    panels[0].lines.push_back({runs[r].loss, colour, dash});
    for (const auto& [probe, curve] : runs[r].accuracy) {
      const size_t index = probes[probe];
      panels[1].lines.push_back(
          {curve, runs.size() == 1 ? kColours[index % kColours.size()] : colour,
           runs.size() == 1 ? "" : kDashes[index % kDashes.size()], probe, true});
    }
    panels[2].lines.push_back({runs[r].samples_per_second, colour, dash});
    panels[3].lines.push_back({runs[r].learning_rate, colour, dash});
  }
  return panels;
}

}  // namespace

std::string plot_runs_svg(const std::vector<std::filesystem::path>& paths) {
  if (paths.empty())
    throw RecordError("nothing to draw: no run directory was given; name at least one");
  const std::vector<std::string> names = run_names(paths);
  std::vector<RunCurves> runs;
  for (const auto& path : paths) runs.push_back(read_curves(path));
  double last_step = 1;
  for (const RunCurves& run : runs) last_step = std::max(last_step, run.loss.steps.back());

  const std::string title = runs.size() == 1 ? names[0] : std::to_string(runs.size()) + " runs";
  const double rows = static_cast<double>(runs.size());
  const double first_panel = kTop + kLegendRow * rows + 6;
  const double height = first_panel + 2 * kPanelHeight + kMargin / 2;
  std::string description;
  for (size_t r = 0; r < runs.size(); ++r)
    description += names[r] + ": " + standing(runs[r]) + ". ";
  std::string out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + number(kWidth) + " " +
      number(height) + "\" width=\"" + number(kWidth) + "\" height=\"" + number(height) +
      "\" role=\"img\" aria-labelledby=\"title description\" font-family=\"system-ui, " +
      "'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif\">\n<title id=\"title\">" +
      escaped("Training curves: " + title) + "</title>\n<desc id=\"description\">" +
      escaped(description) + "</desc>\n<rect x=\"0.5\" y=\"0.5\" width=\"" + number(kWidth - 1) +
      "\" height=\"" + number(height - 1) + "\" rx=\"8\" fill=\"#fff\" stroke=\"#ccc\"/>\n" +
      text_at(kMargin + 10, 40, title, "font-size=\"22\" font-weight=\"600\" fill=\"#111\"") +
      legend(names, runs);
  const std::vector<Panel> panels = panels_of(runs);
  const double width = (kWidth - 2 * kMargin) / 2;
  for (size_t p = 0; p < panels.size(); ++p)
    out += panel_at(kMargin + width * static_cast<double>(p % 2),
                    first_panel + kPanelHeight * static_cast<double>(p / 2), width, kPanelHeight,
                    panels[p], last_step, kPlotPoints);
  return out + "</svg>\n";
}

}  // namespace cltrain
