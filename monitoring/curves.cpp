#include "monitoring/curves.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

namespace cltrain {
namespace {

using Json = nlohmann::json;

constexpr const char* kRankingScore = "NDCG@20";
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

[[noreturn]] void damaged(const std::string& where, const std::string& what) {
  throw RecordError(where + ": damaged: " + what +
                    "; remove the line, or draw the run from a copy without it");
}

/// object[key] as a number; NaN for null, which is how a value that is no number is written.
double number(const Json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end() || !(found->is_number() || found->is_null()))
    damaged(where, std::string("no number \"") + key + "\" in it");
  return found->is_null() ? kNaN : found->get<double>();
}

/// Calls `use` with each line's object and "file:line". Steps may not go back.
void for_each_line(const std::filesystem::path& path,
                   const std::function<void(const Json&, int64_t, const std::string&)>& use) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw RecordError("cannot read " + path.string() + ": check its permissions");
  std::string line;
  int64_t last = 0, row = 0;
  // The file ends before a newline exactly where its last line is being written.
  while (std::getline(file, line) && !file.eof()) {
    const std::string where = path.string() + ":" + std::to_string(++row);
    const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object() || !object.contains("step") || !object["step"].is_number_integer())
      damaged(where, "'" + line.substr(0, 60) + "' is no JSON object with a whole \"step\"");
    const auto step = object["step"].get<int64_t>();
    if (step < last)
      damaged(where, "step " + std::to_string(step) + " comes after " + std::to_string(last));
    last = step;
    use(object, step, where);
  }
}

void add_accuracy(RunCurves& curves, const Json& line, int64_t step, const std::string& where) {
  const auto probe = line.find("probe"), scores = line.find("scores");
  if (probe == line.end() || !probe->is_string() || scores == line.end() || !scores->is_object())
    damaged(where, "no \"probe\" with \"scores\" in it");
  for (const char* score : {"top1", "accuracy", kRankingScore}) {
    if (!scores->contains(score)) continue;
    curves.ranking = curves.ranking || score == kRankingScore;
    curves.accuracy[probe->get<std::string>()].add(static_cast<double>(step),
                                                   number(*scores, score, where));
    return;
  }
}

/// The last `parts` names of `path`, joined by slashes.
std::string ending(const std::filesystem::path& path, size_t parts) {
  const std::vector<std::filesystem::path> all(path.begin(), path.end());
  std::filesystem::path joined;
  for (size_t i = all.size() - std::min(parts, all.size()); i < all.size(); ++i) joined /= all[i];
  return joined.string();
}

}  // namespace

RunCurves read_curves(const std::filesystem::path& run) {
  const std::filesystem::path steps = run / "metrics.jsonl";
  const std::filesystem::path evaluations = run / "evaluations.jsonl";
  if (!std::filesystem::is_directory(run))
    throw RecordError("there is no run directory " + run.string() +
                      ": give the folder that run.dir named, the one that holds metrics.jsonl");
  if (!std::filesystem::exists(steps))
    throw RecordError(run.string() +
                      " is no run directory: it holds no metrics.jsonl; give the folder that "
                      "run.dir named");
  RunCurves curves;
  for_each_line(steps, [&](const Json& line, int64_t step, const std::string& where) {
    const auto at = static_cast<double>(step);
    if (curves.loss.size() > 0 && curves.loss.steps.back() == at)
      damaged(where, "step " + std::to_string(step) + " is there twice");
    curves.loss.add(at, number(line, "loss", where));
    curves.learning_rate.add(at, number(line, "lr", where));
    curves.samples_per_second.add(at, number(line, "samples_per_second", where));
  });
  if (curves.loss.size() == 0)
    throw RecordError(steps.string() + " holds no step yet: wait until the run has finished one");
  if (std::filesystem::exists(evaluations))
    for_each_line(evaluations, [&](const Json& line, int64_t step, const std::string& where) {
      add_accuracy(curves, line, step, where);
    });
  return curves;
}

std::vector<std::string> run_names(const std::vector<std::filesystem::path>& runs) {
  std::vector<std::filesystem::path> whole;
  size_t longest = 1;
  for (const auto& run : runs) {
    std::filesystem::path path = std::filesystem::absolute(run).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    whole.push_back(path);
    longest = std::max(longest, static_cast<size_t>(std::distance(path.begin(), path.end())));
  }
  std::vector<std::string> names;
  for (const auto& path : whole) {
    size_t parts = 1;
    const auto shared = [&](const std::filesystem::path& other) {
      return other != path && ending(other, parts) == ending(path, parts);
    };
    while (parts < longest && std::any_of(whole.begin(), whole.end(), shared)) ++parts;
    names.push_back(ending(path, parts));
  }
  return names;
}

Curve thinned(const Curve& curve, size_t points) {
  const size_t n = curve.size();
  if (n <= points) return curve;
  Curve thin;
  thin.add(curve.steps[0], curve.values[0]);
  const size_t stretches = (points - 2) / 2;
  for (size_t s = 0; s < stretches; ++s) {
    const size_t begin = 1 + s * (n - 2) / stretches, end = 1 + (s + 1) * (n - 2) / stretches;
    size_t low = n, high = n;
    for (size_t i = begin; i < end; ++i) {
      if (std::isnan(curve.values[i])) continue;
      if (low == n || curve.values[i] < curve.values[low]) low = i;
      if (high == n || curve.values[i] > curve.values[high]) high = i;
    }
    if (low == n) {  // a stretch without a number stays a gap
      thin.add(curve.steps[begin], kNaN);
      continue;
    }
    const auto [first, second] = std::minmax(low, high);
    thin.add(curve.steps[first], curve.values[first]);
    if (second != first) thin.add(curve.steps[second], curve.values[second]);
  }
  thin.add(curve.steps[n - 1], curve.values[n - 1]);
  return thin;
}

Curve moving_mean(const Curve& curve, size_t window) {
  const size_t n = curve.size(), half = window / 2;
  std::vector<double> sums(n + 1, 0), counts(n + 1, 0);
  for (size_t i = 0; i < n; ++i) {
    const bool finite = std::isfinite(curve.values[i]);
    sums[i + 1] = sums[i] + (finite ? curve.values[i] : 0);
    counts[i + 1] = counts[i] + (finite ? 1 : 0);
  }
  Curve mean;
  for (size_t i = 0; i < n; ++i) {
    const size_t begin = i - std::min(i, half), end = std::min(n, i + half + 1);
    const double count = counts[end] - counts[begin];
    mean.add(curve.steps[i], count > 0 ? (sums[end] - sums[begin]) / count : kNaN);
  }
  return mean;
}

bool is_noisy(const Curve& curve) {
  constexpr size_t kFew = 30;
  if (curve.size() < kFew) return false;
  double way = 0, last = kNaN, low = kNaN, high = kNaN;
  for (const double value : curve.values) {
    if (!std::isfinite(value)) continue;
    if (!std::isnan(last)) way += std::abs(value - last);
    low = std::fmin(low, value);
    high = std::fmax(high, value);
    last = value;
  }
  return way > 3 * (high - low);
}

double quantile(std::vector<double> values, double q) {
  std::erase_if(values, [](double value) { return !std::isfinite(value); });
  if (values.empty()) return kNaN;
  const auto at =
      static_cast<std::ptrdiff_t>(std::llround(q * static_cast<double>(values.size() - 1)));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<size_t>(at)];
}

}  // namespace cltrain
