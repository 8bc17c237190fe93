// PhaseClock: where the time of a step goes. enter() closes the running phase and opens the next;
// take() hands out the seconds by phase since the last take(). One thread.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace cltrain {

class PhaseClock {
 public:
  void enter(const char* phase) {
    const auto now = Clock::now();
    if (!current_.empty()) add(std::chrono::duration<double>(now - since_).count());
    current_ = phase;
    since_ = now;
  }
  std::vector<std::pair<std::string, double>> take() {
    enter(std::string(current_).c_str());
    return std::exchange(seconds_, {});
  }

 private:
  using Clock = std::chrono::steady_clock;
  void add(double seconds) {
    for (auto& [name, total] : seconds_)
      if (name == current_) {
        total += seconds;
        return;
      }
    seconds_.emplace_back(current_, seconds);
  }

  std::string current_;
  Clock::time_point since_ = Clock::now();
  std::vector<std::pair<std::string, double>> seconds_;
};

}  // namespace cltrain
