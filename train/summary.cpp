#include "train/summary.h"

#include "train/files.h"

#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include <sys/resource.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::vector<json> lines_of(const fs::path& path) {
  std::vector<json> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(json::parse(line));
  return lines;
}

/// The newest scores of each probe: {probe: {score: value, "step": step}}.
json newest_scores(const fs::path& run_dir) {
  json result = json::object();
  for (const json& line : lines_of(run_dir / "evaluations.jsonl")) {
    json scores = line.at("scores");
    scores["step"] = line.at("step");
    result[line.at("probe").get<std::string>()] = scores;
  }
  return result;
}

json number(double value) {
  return std::isfinite(value) ? json(value) : json(nullptr);
}

}  // namespace

void write_summary_file(const fs::path& run_dir, const Summary& summary) {
  const std::vector<json> steps = lines_of(run_dir / "metrics.jsonl");
  const json loss = steps.empty() ? json(nullptr) : steps.back().at("loss");
  const json text = {{"method", summary.method},
                     {"config", summary.config},
                     {"ranks", summary.ranks},
                     {"global_batch", summary.global_batch},
                     {"negatives_per_anchor", summary.negatives_per_anchor},
                     {"steps", summary.steps},
                     {"samples_seen", summary.samples_seen},
                     {"skipped_steps", summary.skipped_steps},
                     {"loss", loss},
                     {"eval", newest_scores(run_dir)},
                     {"samples_per_second", number(summary.samples_per_second)},
                     {"peak_rss_bytes", summary.peak_rss_bytes},
                     {"state_sha256", summary.state_sha256}};
  replace_file_durably(run_dir / "summary.json", text.dump(2) + "\n");
}

std::optional<int64_t> finished_steps(const fs::path& run_dir) {
  const fs::path path = run_dir / "summary.json";
  if (!fs::exists(path)) return std::nullopt;
  try {
    return json::parse(read_file(path)).at("steps").get<int64_t>();
  } catch (const json::exception& error) {
    throw RunDirectoryError(path.string() + " is damaged (" + error.what() +
                            "); remove it and run the same command again");
  }
}

std::string results_table(const fs::path& run_dir) {
  std::ostringstream text;
  text << "kNN top-1 on the test set:\n";
  const std::vector<json> lines = lines_of(run_dir / "evaluations.jsonl");
  const json newest = newest_scores(run_dir);
  for (const auto& [probe, label] :
       {std::pair("raw_pixels", "raw pixels"), std::pair("untrained_encoder", "untrained encoder"),
        std::pair("knn", "trained encoder")}) {
    if (!newest.contains(probe)) continue;
    char line[96];
    std::snprintf(line, sizeof(line), "  %-18s %6.2f %%   (step %lld)\n", label,
                  100 * newest[probe].at("top1").get<double>(),
                  static_cast<long long>(newest[probe].at("step").get<int64_t>()));
    text << line;
  }
  return lines.empty() ? "" : text.str();
}

std::string nonfinite_report(int64_t step, double loss, const at::Tensor& ids) {
  const auto* values = ids.const_data_ptr<int64_t>();
  return json{{"step", step},
              {"loss", number(loss)},
              {"loss_text", std::isnan(loss) ? "nan" : std::to_string(loss)},
              {"ids", std::vector<int64_t>(values, values + ids.numel())}}
             .dump() +
         "\n";
}

int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

}  // namespace cltrain
