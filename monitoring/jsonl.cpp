#include "monitoring/jsonl.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include <fcntl.h>
#include <sys/stat.h>
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

/// Whole numbers, without those that are 0.
Json to_counts(const NamedValues& values) {
  Json object = Json::object();
  for (const auto& [name, value] : values)
    if (value != 0) object[name] = std::llround(value);
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

std::filesystem::path evaluations_beside(const std::filesystem::path& path) {
  return path.parent_path() / "evaluations.jsonl";
}

}  // namespace

std::set<std::string> recorded_probes(const std::filesystem::path& path, int64_t step) {
  std::set<std::string> probes;
  std::ifstream file(path);
  std::string line;
  int64_t number = 0;
  while (std::getline(file, line) && !file.eof()) {
    const std::string where = path.string() + ":" + std::to_string(++number);
    if (step_of(line, where) == step) probes.insert(Json::parse(line).value("probe", ""));
  }
  return probes;
}

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

int JsonlFile::write_held() {
  size_t written = 0;
  int error = 0;
  while (written < held_.size()) {
    const ssize_t count = ::write(descriptor_, held_.data() + written, held_.size() - written);
    if (count >= 0) {
      written += static_cast<size_t>(count);
    } else if (errno != EINTR) {
      error = errno;
      break;
    }
  }
  held_.erase(0, written);
  return error;
}

void JsonlFile::append(const std::string& line) {
  held_ += line;
  held_ += '\n';
  write_held();
}

void JsonlFile::flush() {
  const int error = write_held();
  if (error != 0) fail(path_, "write to", error);
  // Lines written to a file that was removed, with its folder perhaps, reach nobody.
  struct stat ours {
  }, named{};
  if (::stat(path_.c_str(), &named) != 0) fail(path_, "find", errno);
  if (::fstat(descriptor_, &ours) != 0) fail(path_, "look at", errno);
  if (ours.st_ino != named.st_ino || ours.st_dev != named.st_dev)
    throw RecordError(path_.string() +
                      " is another file than the one this run has been writing; put that one back "
                      "(run.dir must not be replaced while the run goes on)");
}

JsonlSink::JsonlSink(const std::filesystem::path& path, int64_t resume_step)
    : steps_(path, resume_step),
      evaluations_(evaluations_beside(path), resume_step),
      resume_step_(resume_step),
      probes_at_resume_(recorded_probes(evaluations_beside(path), resume_step)) {}

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
  put(line, "gradient_norm", record.gradient_norm);
  if (record.parameter_norm > 0) put(line, "parameter_norm", record.parameter_norm);
  line["scalars"] = to_object(record.scalars);
  if (!record.similarity.empty()) line["similarity"] = to_object(record.similarity);
  line["phase_seconds"] = to_object(record.phase_seconds);
  line["slowest_rank"] = record.slowest_rank;
  put(line, "slowest_lag_seconds", record.slowest_lag_seconds);
  line["communication_bytes"] = to_counts(record.communication_bytes);
  line["batches_ready"] = record.batches_ready;
  line["resident_bytes"] = record.resident_bytes;
  if (record.device_bytes > 0) line["device_bytes"] = record.device_bytes;
  const Json errors = to_counts(record.data_errors);
  if (!errors.empty()) line["data_errors"] = errors;
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

void JsonlSink::flush() {
  steps_.flush();
  evaluations_.flush();
}

void JsonlSink::close() {
  flush();
}

}  // namespace cltrain
