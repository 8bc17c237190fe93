#include "monitoring/jsonl.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include <fcntl.h>
#include <unistd.h>

namespace cltrain {
namespace {

using Json = nlohmann::ordered_json;

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what, int error) {
  throw RecordError("cannot " + what + " " + path.string() + ": " + std::strerror(error) +
                    "; check free space and permissions of the run directory (run.dir)");
}

void put(Json& object, const std::string& name, double value) {
  object[name] = value;  // nlohmann writes the shortest text that reads back as the same double
  if (!std::isfinite(value)) {
    object[name] = nullptr;
    object[name + "_text"] = std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  }
}

Json to_object(const NamedValues& values) {
  Json object = Json::object();
  for (const auto& [name, value] : values) put(object, name, value);
  return object;
}

/// The line's step; `where` is "file:line" for the message.
int64_t step_of(const std::string& line, const std::string& where) {
  const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || !object.contains("step") || !object["step"].is_number_integer()) {
    throw RecordError(where + ": damaged: '" + line.substr(0, 60) +
                      "' is no JSON object with a whole \"step\"; remove the line, or move "
                      "the file away to continue without the record of earlier steps");
  }
  return object["step"].get<int64_t>();
}

/// Bytes of the leading lines that are complete and of steps <= resume_step.
std::uintmax_t bytes_to_keep(const std::filesystem::path& path, int64_t resume_step) {
  std::ifstream file(path, std::ios::binary);
  std::uintmax_t kept = 0;
  int64_t number = 0;
  std::string line;
  // getline meets the end of the file before a newline exactly where the last line is torn.
  while (std::getline(file, line) && !file.eof()) {
    ++number;
    if (step_of(line, path.string() + ":" + std::to_string(number)) > resume_step) break;
    kept += line.size() + 1;
  }
  return kept;
}

std::set<std::string> probes_at(const std::filesystem::path& path, int64_t step) {
  std::set<std::string> probes;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    const Json object = Json::parse(line);
    if (object["step"] == step) probes.insert(object.value("probe", ""));
  }
  return probes;
}

std::filesystem::path evaluations_beside(const std::filesystem::path& path) {
  return path.parent_path() / "evaluations.jsonl";
}

}  // namespace

JsonlFile::JsonlFile(const std::filesystem::path& path, int64_t resume_step) : path_(path) {
  // Read before opening: a damaged line throws, and the destructor does not run for a constructor
  // that threw.
  const std::uintmax_t keep = bytes_to_keep(path, resume_step);
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail(path, "open", errno);
  if (::ftruncate(descriptor_, static_cast<off_t>(keep)) != 0) {
    const int error = errno;
    ::close(descriptor_);
    fail(path, "shorten", error);
  }
}

JsonlFile::~JsonlFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void JsonlFile::append(std::string line) {
  line += '\n';
  size_t written = 0;
  while (written < line.size()) {
    const ssize_t count = ::write(descriptor_, line.data() + written, line.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(path_, "write to", errno);
    written += static_cast<size_t>(count);
  }
}

JsonlSink::JsonlSink(const std::filesystem::path& path, int64_t resume_step)
    : steps_(path, resume_step),
      evaluations_(evaluations_beside(path), resume_step),
      resume_step_(resume_step),
      probes_at_resume_(probes_at(evaluations_beside(path), resume_step)) {}

void JsonlSink::step(const StepRecord& record) {
  Json line;
  line["step"] = record.step;
  line["epoch"] = record.epoch;
  put(line, "loss", record.loss);
  put(line, "lr", record.learning_rate);
  put(line, "samples_per_second", record.samples_per_second);
  line["ids_hash"] = record.ids_hash;
  line["samples"] = record.samples;
  put(line, "step_seconds", record.step_seconds);
  line["scalars"] = to_object(record.scalars);
  line["phase_seconds"] = to_object(record.phase_seconds);
  if (record.refused) line["refused"] = true;
  steps_.append(line.dump());
}

void JsonlSink::evaluation(const EvaluationRecord& record) {
  if (record.step == resume_step_ && probes_at_resume_.count(record.probe) != 0) return;
  Json line;
  line["step"] = record.step;
  line["probe"] = record.probe;
  line["scores"] = to_object(record.scores);
  put(line, "seconds", record.seconds);
  evaluations_.append(line.dump());
}

}  // namespace cltrain
