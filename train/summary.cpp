#include "train/summary.h"

#include "train/files.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;  // files show values in the order they were put

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

/// summary.json as it is, or an empty object.
json read_summary(const fs::path& path) {
  if (!fs::exists(path)) return json::object();
  try {
    json summary = json::parse(read_file(path));
    if (summary.is_object()) return summary;
  } catch (const json::exception&) {
  }
  throw RunDirectoryError(path.string() +
                          " is damaged (no JSON object); remove it and run the same command again");
}

/// Held while summary.json is read and replaced: `cltrain eval` may run several times at once, and
/// beside the end of training.
class SummaryLock {
 public:
  explicit SummaryLock(const fs::path& run_dir)
      : descriptor_(open((run_dir / ".summary.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    if (descriptor_ < 0 || flock(descriptor_, LOCK_EX) != 0)
      throw IoError("cannot lock " + (run_dir / ".summary.lock").string() + ": " +
                    std::strerror(errno));
  }
  ~SummaryLock() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  SummaryLock(const SummaryLock&) = delete;
  SummaryLock& operator=(const SummaryLock&) = delete;

 private:
  int descriptor_;
};

json number(double value) {
  return std::isfinite(value) ? json(value) : json(nullptr);
}

}  // namespace

void write_summary_file(const fs::path& run_dir, const Summary& summary) {
  const std::vector<json> steps = lines_of(run_dir / "metrics.jsonl");
  const json loss = steps.empty() ? json(nullptr) : steps.back().at("loss");
  json text = {{"method", summary.method},
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
  if (summary.best_step >= 0) {
    text["best_step"] = summary.best_step;
    text["stopped_early"] = summary.stopped_early;
  }
  const SummaryLock lock(run_dir);
  const json before = read_summary(run_dir / "summary.json");
  if (before.contains("evaluations")) text["evaluations"] = before["evaluations"];
  replace_file_durably(run_dir / "summary.json", text.dump(2) + "\n");
}

std::string report_text(const ProbeReport& report) {
  json text{{"probe", report.probe},
            {"protocol", report.protocol},
            {"weights", report.weights},
            {"step", report.step},
            {"seed", report.seed},
            {"ranks", report.ranks},
            {"queries", report.accuracy.queries},
            {"left_out", report.left_out},
            {"seconds", number(report.seconds)}};
  for (const auto& [neighbours, share] : report.recall)
    text["recall_at_" + std::to_string(neighbours)] = share;
  for (const auto& [name, value] : report.scores) text[name] = value;
  if (!report.recall.empty() || !report.scores.empty()) return text.dump();
  json classes = json::array();
  for (const ClassAccuracy& each : report.accuracy.classes)
    classes.push_back({{"label", each.label}, {"queries", each.queries}, {"top1", each.top1}});
  text["top1"] = report.accuracy.top1;
  text["top5"] = report.accuracy.top5;
  text["per_class"] = classes;
  return text.dump();
}

void append_report(const fs::path& run_dir, const ProbeReport& report) {
  const SummaryLock lock(run_dir);
  json summary = read_summary(run_dir / "summary.json");
  summary["evaluations"].push_back(json::parse(report_text(report)));
  replace_file_durably(run_dir / "summary.json", summary.dump(2) + "\n");
}

std::optional<int64_t> finished_steps(const fs::path& run_dir) {
  const fs::path path = run_dir / "summary.json";
  if (!fs::exists(path)) return std::nullopt;
  const json summary = read_summary(path);
  if (!summary.contains("steps") && summary.contains("evaluations")) return std::nullopt;
  if (summary.contains("steps") && summary["steps"].is_number_integer())
    return summary["steps"].get<int64_t>();
  throw RunDirectoryError(
      (run_dir / "summary.json").string() +
      " is damaged (\"steps\" is no number); remove it and run the same command "
      "again");
}

bool stopped_early(const fs::path& run_dir) {
  const fs::path path = run_dir / "summary.json";
  if (!fs::exists(path)) return false;
  const json summary = read_summary(path);
  return summary.contains("stopped_early") && summary["stopped_early"] == true;
}

namespace {

/// The lines of recommenders: every score, four digits, in the order of the file.
std::string ranking_table(const json& newest) {
  std::string text = "ranking of each user's last item, which training does not see:\n";
  for (const auto& [probe, label] :
       {std::pair("popularity", "popularity"), std::pair("untrained", "untrained network"),
        std::pair("test", "trained network")}) {
    if (!newest.contains(probe)) continue;
    char line[64];
    std::snprintf(line, sizeof(line), "  %-18s", label);
    text += line;
    for (const auto& [name, value] : newest[probe].items()) {
      if (name == "step") continue;
      std::snprintf(line, sizeof(line), " %s %.4f", name.c_str(), value.get<double>());
      text += line;
    }
    std::snprintf(line, sizeof(line), "  (step %lld)\n",
                  static_cast<long long>(newest[probe].at("step").get<int64_t>()));
    text += line;
  }
  return text;
}

/// The lines of click-through models.
std::string click_table(const json& newest) {
  std::string text = "AUC on the test rows:\n";
  for (const auto& [probe, label] :
       {std::pair("rule", "the rule itself"), std::pair("untrained_model", "untrained network"),
        std::pair("clicks", "trained network")}) {
    if (!newest.contains(probe)) continue;
    char line[96];
    std::snprintf(line, sizeof(line), "  %-18s %.4f   (step %lld)\n", label,
                  newest[probe].at("AUC").get<double>(),
                  static_cast<long long>(newest[probe].at("step").get<int64_t>()));
    text += line;
  }
  return text;
}

}  // namespace

std::string results_table(const fs::path& run_dir) {
  const json newest = newest_scores(run_dir);
  for (const char* probe : {"rule", "untrained_model", "clicks"})
    if (newest.contains(probe)) return click_table(newest);
  for (const char* probe : {"popularity", "untrained", "test"})
    if (newest.contains(probe)) return ranking_table(newest);
  const auto line_of = [&](const char* probe, const char* label) -> std::string {
    if (!newest.contains(probe)) return "";
    char line[96];
    std::snprintf(line, sizeof(line), "  %-18s %6.2f %%   (step %lld)\n", label,
                  100 * newest[probe].at("top1").get<double>(),
                  static_cast<long long>(newest[probe].at("step").get<int64_t>()));
    return line;
  };
  const std::string knn = line_of("raw_pixels", "raw pixels") +
                          line_of("untrained_encoder", "untrained encoder") +
                          line_of("knn", "trained encoder");
  const std::string classifier = line_of("classifier", "trained on labels");
  return (knn.empty() ? "" : "kNN top-1 on the test set:\n" + knn) +
         (classifier.empty() ? "" : "classifier top-1 on the test set:\n" + classifier);
}

std::string nonfinite_report(int64_t step, double loss, const at::Tensor& ids,
                             const at::Tensor& not_finite) {
  const auto list = [](const at::Tensor& values) {
    const auto* data = values.const_data_ptr<int64_t>();
    return std::vector<int64_t>(data, data + values.numel());
  };
  json report{{"step", step},
              {"loss", number(loss)},
              {"loss_text", std::isnan(loss) ? "nan" : std::to_string(loss)},
              {"ids", list(ids)}};
  if (not_finite.numel() > 0) report["ids_not_finite"] = list(not_finite);
  return report.dump() + "\n";
}

int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

}  // namespace cltrain
