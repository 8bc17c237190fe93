// The curves that the files of a run hold, and what makes them fit a picture.
//
// Pure functions, any rank, any thread; a run that is being written may be read: a last line
// without its end is left out. Errors: RecordError naming file, line and what to do.
#pragma once

#include "monitoring/sink.h"

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace cltrain {

/// A value over steps; steps increase. NaN where there is no number: the line has a gap.
struct Curve {
  std::vector<double> steps, values;

  void add(double step, double value) {
    steps.push_back(step);
    values.push_back(value);
  }
  size_t size() const { return steps.size(); }
};

struct RunCurves {
  Curve loss, samples_per_second, learning_rate;
  std::map<std::string, Curve> accuracy;  ///< by probe: its score top1, accuracy or NDCG@20
  bool ranking = false;                   ///< the scores are NDCG@20: of a recommender
};

/// Reads metrics.jsonl and, where there is one, evaluations.jsonl of a run directory. Throws where
/// there is no such directory, or no finished step in it, or a damaged line.
RunCurves read_curves(const std::filesystem::path& run);

/// The run directories' names, each with as many parents as tell it from the others.
std::vector<std::string> run_names(const std::vector<std::filesystem::path>& runs);

/// The same curve in at most `points` (at least 4) points: its ends, and between them the least and
/// the greatest value of each stretch, so that no spike is lost.
Curve thinned(const Curve& curve, size_t points);

/// Mean of the `window` values around each one, fewer at the ends. NaN values are left out.
Curve moving_mean(const Curve& curve, size_t window);

/// Whether the curve goes up and down so much that a moving mean says more: its way is more than
/// three times as long as its range.
bool is_noisy(const Curve& curve);

/// The value that a share `q` (0..1) of the finite values do not exceed; NaN where there is none.
double quantile(std::vector<double> values, double q);

}  // namespace cltrain
