#include "monitoring/tensorboard.h"

#include "monitoring/event_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace cltrain {
namespace {

constexpr const char* kPrefix = "events.out.tfevents.";
constexpr size_t kHeldBytes = 1 << 20;  // written at once when there is more

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') return "localhost";
  return name;
}

/// A number that sorts after those of the files in `folder`: TensorBoard reads them by name.
int64_t serial_after(const std::filesystem::path& folder) {
  auto serial = static_cast<int64_t>(now_seconds());
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    const auto earlier = std::strtoll(name.c_str() + std::strlen(kPrefix), nullptr, 10);
    serial = std::max<int64_t>(serial, earlier + 1);
  }
  return serial;
}

}  // namespace

TensorBoardSink::TensorBoardSink(TensorBoardSettings settings) : settings_(std::move(settings)) {
  open();
}

TensorBoardSink::~TensorBoardSink() {
  close();
}

void TensorBoardSink::open() {
  std::error_code failed;
  std::filesystem::create_directories(settings_.folder, failed);
  path_ = settings_.folder;
  if (failed) return give_up("make the folder", failed.value());
  char serial[32];
  std::snprintf(serial, sizeof serial, "%010lld",
                static_cast<long long>(serial_after(settings_.folder)));
  path_ = settings_.folder /
          (kPrefix + std::string(serial) + "." + host_name() + "." + std::to_string(getpid()));
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) return give_up("open", errno);
  const double now = now_seconds();
  held_ = framed(file_version_event(now)) + framed(start_event(now, settings_.resume_step + 1));
  write();
}

void TensorBoardSink::give_up(const std::string& what, int error) {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  held_ = {};
  const std::string where = path_.string();
  if (what != "write to") path_.clear();
  if (!settings_.warn) return;
  settings_.warn("warning: nothing more is written for TensorBoard: cannot " + what + " " + where +
                 ": " + std::strerror(error) +
                 "; training goes on, and metrics.jsonl has every step. Check free space and "
                 "permissions of the run directory (run.dir), or set metrics.tensorboard=false");
}

void TensorBoardSink::write() {
  size_t written = 0;
  while (descriptor_ >= 0 && written < held_.size()) {
    const ssize_t count = ::write(descriptor_, held_.data() + written, held_.size() - written);
    if (count >= 0) {
      written += static_cast<size_t>(count);
    } else if (errno != EINTR) {
      return give_up("write to", errno);
    }
  }
  held_.clear();
  written_at_ = std::chrono::steady_clock::now();
}

void TensorBoardSink::add(int64_t step, const NamedValues& scalars) {
  if (descriptor_ < 0) return;
  held_ += framed(scalars_event(now_seconds(), step, scalars));
  const std::chrono::duration<double> age = std::chrono::steady_clock::now() - written_at_;
  if (age.count() >= settings_.flush_seconds || held_.size() >= kHeldBytes) write();
}

void TensorBoardSink::sum_up(const StepRecord& record) {
  ++summed_steps_;
  sums_["step_seconds"] += record.step_seconds;
  sums_["slowest_lag_seconds"] += record.slowest_lag_seconds;
  sums_["loader_ready_batches"] += static_cast<double>(record.batches_ready);
  for (const auto& [phase, seconds] : record.phase_seconds)
    sums_["phase_seconds/" + phase] += seconds;
  for (const auto& [operation, bytes] : record.communication_bytes)
    sums_["communication_bytes/" + operation] += bytes;
  for (const auto& [kind, count] : record.data_errors) data_errors_ += count;
}

void TensorBoardSink::add_means(const StepRecord& record) {
  NamedValues means;
  for (auto& [tag, sum] : sums_) {
    means.emplace_back(tag, sum / static_cast<double>(summed_steps_));
    sum = 0;
  }
  summed_steps_ = 0;
  means.emplace_back("memory/resident_bytes", static_cast<double>(record.resident_bytes));
  if (record.device_bytes > 0)
    means.emplace_back("memory/device_bytes", static_cast<double>(record.device_bytes));
  means.emplace_back("data_errors", data_errors_);
  add(record.step, means);
}

void TensorBoardSink::step(const StepRecord& record) {
  if (descriptor_ < 0) return;
  NamedValues points = {{"loss", record.loss},
                        {"learning_rate", record.learning_rate},
                        {"samples_per_second", record.samples_per_second},
                        {"gradient_norm", record.gradient_norm}};
  for (const auto& [name, value] : record.scalars) points.emplace_back("scalars/" + name, value);
  if (record.parameter_norm > 0) points.emplace_back("parameter_norm", record.parameter_norm);
  for (const auto& [name, value] : record.similarity)
    points.emplace_back("similarity/" + name, value);
  add(record.step, points);
  sum_up(record);
  if (record.step % settings_.every == 0) add_means(record);
}

void TensorBoardSink::evaluation(const EvaluationRecord& record) {
  if (record.step == settings_.resume_step && settings_.probes_at_resume.count(record.probe) != 0)
    return;
  const std::string prefix = "evaluation/" + record.probe + "/";
  NamedValues points;
  for (const auto& [name, value] : record.scores) points.emplace_back(prefix + name, value);
  points.emplace_back(prefix + "seconds", record.seconds);
  add(record.step, points);
  write();
}

void TensorBoardSink::checkpoint(const CheckpointRecord& record) {
  add(record.step, {{"checkpoint/seconds", record.seconds},
                    {"checkpoint/bytes", static_cast<double>(record.bytes)}});
  write();
}

void TensorBoardSink::close() {
  if (descriptor_ < 0) return;
  write();
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace cltrain
