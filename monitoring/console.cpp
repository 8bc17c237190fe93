#include "monitoring/console.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <sys/ioctl.h>
#include <unistd.h>

namespace cltrain {
namespace {

constexpr double kTerminalSeconds = 0.1;

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string number(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// A line that wraps cannot be rewritten in place.
size_t terminal_columns(FILE* stream) {
  winsize size{};
  if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 100;
}

}  // namespace

bool shown_on_terminal(FILE* stream) {
  if (isatty(fileno(stream)) == 0) return false;
  if (std::getenv("OMPI_COMM_WORLD_RANK") == nullptr) return true;
  std::error_code error;
  const std::filesystem::path target = std::filesystem::read_symlink(
      "/proc/" + std::to_string(getppid()) + "/fd/" + std::to_string(fileno(stream)), error);
  return !error && target.string().starts_with("/dev/") && target != "/dev/null";
}

std::string format_duration(double seconds) {
  const int64_t whole = std::llround(std::clamp(seconds, 0.0, 1e9));
  char text[64];
  if (whole < 60) {
    std::snprintf(text, sizeof text, "%llds", static_cast<long long>(whole));
  } else if (whole < 3600) {
    std::snprintf(text, sizeof text, "%lldm%02llds", static_cast<long long>(whole / 60),
                  static_cast<long long>(whole % 60));
  } else {
    std::snprintf(text, sizeof text, "%lldh%02lldm", static_cast<long long>(whole / 3600),
                  static_cast<long long>(whole / 60 % 60));
  }
  return text;
}

ConsoleSink::ConsoleSink(FILE* out, ConsoleSettings settings)
    : out_(out), settings_(std::move(settings)) {
  if (!settings_.clock) settings_.clock = steady_seconds;
}

std::string ConsoleSink::progress_line() const {
  std::string text = "epoch " + std::to_string(last_.epoch);
  text.append("  step ").append(std::to_string(last_.step));
  if (settings_.total_steps > 0) text.append("/").append(std::to_string(settings_.total_steps));
  text += (std::isnan(last_.loss) ? std::string("  loss nan") : number("  loss %.4f", last_.loss)) +
          number("  lr %.3g", last_.learning_rate) +
          number("  %.0f samples/s", last_.samples_per_second);
  if (step_seconds_ > 0) {
    text += number("  data wait %.1f %%", 100 * data_seconds_ / step_seconds_);
  }
  // The first step has no step before it to be timed by; it is also the slowest.
  if (settings_.total_steps > 0 && steps_seen_ > 1) {
    const double each = (last_time_ - first_time_) / static_cast<double>(steps_seen_ - 1);
    text +=
        "  left " + format_duration(each * static_cast<double>(settings_.total_steps - last_.step));
  }
  if (last_.refused) text += "  update refused: not finite";
  return text;
}

void ConsoleSink::show() {
  const std::string text = progress_line();
  if (settings_.terminal) {
    std::fprintf(out_, "\r%s\x1b[K", text.substr(0, terminal_columns(out_) - 1).c_str());
    line_open_ = true;
  } else {
    std::fprintf(out_, "%s\n", text.c_str());
  }
  std::fflush(out_);
  shown_time_ = last_time_;
  data_seconds_ = step_seconds_ = 0;
  pending_ = false;
}

void ConsoleSink::step(const StepRecord& record) {
  last_ = record;
  last_time_ = settings_.clock();
  if (steps_seen_++ == 0) first_time_ = last_time_;
  step_seconds_ += record.step_seconds;
  for (const auto& [phase, seconds] : record.phase_seconds) {
    if (phase == "data") data_seconds_ += seconds;
  }
  pending_ = true;
  const double wait = settings_.terminal ? kTerminalSeconds : settings_.seconds_between_lines;
  const bool due = last_time_ - shown_time_ >= wait;
  if (steps_seen_ == 1 || record.step == settings_.total_steps || record.refused || due) show();
}

void ConsoleSink::line(const std::string& text) {
  // The text takes the progress line's place, except that of the last step, which stays.
  const bool keep = last_.step == settings_.total_steps;
  std::fprintf(out_, "%s%s\n", !line_open_ ? "" : keep ? "\n" : "\r\x1b[K", text.c_str());
  std::fflush(out_);
  line_open_ = false;
}

void ConsoleSink::evaluation(const EvaluationRecord& record) {
  std::string text = "step " + std::to_string(record.step) + "  " + record.probe + ":";
  const char* separator = " ";
  for (const auto& [name, value] : record.scores) {
    text += separator + name + number(" %.4f", value);
    separator = ", ";
  }
  line(text + number("  (%.1f s)", record.seconds));
}

void ConsoleSink::checkpoint(const CheckpointRecord& record) {
  // On a terminal the progress line says enough; a log wants to know what can be resumed from.
  if (!settings_.terminal) {
    line("step " + std::to_string(record.step) + "  checkpoint " + record.path +
         number("  (%.1f s)", record.seconds));
  }
}

void ConsoleSink::write_failure(const std::string& what) {
  line(what);
}

void ConsoleSink::message(const std::string& text) {
  line(text);
}

void ConsoleSink::close() {
  if (pending_) show();
  if (line_open_) std::fputc('\n', out_);
  line_open_ = false;
  std::fflush(out_);
}

}  // namespace cltrain
