// Runs as one picture: an SVG of four panels over steps, that is loss, accuracy of the evaluations,
// samples a second and learning rate, with the curves of one or several run directories.
//
// One run's probes have colours of their own; of several runs each has a colour, and its probes
// differ in dashes. A probe measured at step 0 alone (a baseline) is a dotted line across the
// panel. Noisy curves are drawn faint, with their moving mean over them. A curve has at most
// kPlotPoints points however long the run was. The picture stands alone (no script, font, style
// sheet or link, a light background of its own), text is text, and its colours are told apart by
// the colour-blind (Okabe and Ito, "Color Universal Design").
//
// A pure function of the files: any rank, any thread; a run may be drawn while it goes on. Errors:
// RecordError, see monitoring/curves.h.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace cltrain {

constexpr size_t kPlotPoints = 1500;

/// `runs` are run directories, at least one.
std::string plot_runs_svg(const std::vector<std::filesystem::path>& runs);

}  // namespace cltrain
