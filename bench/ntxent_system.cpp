#include "bench/ntxent_system.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include <malloc.h>
#include <unistd.h>

namespace cltrain::ntxent {
namespace {

/// A line "name: 123 kB" of a file of /proc.
std::optional<int64_t> bytes_in(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (line.rfind(name + ":", 0) == 0) return 1024 * std::stoll(line.substr(name.size() + 1));
  return std::nullopt;
}

}  // namespace

void give_back_free_memory() {
  malloc_trim(0);
}

PeakMemory::PeakMemory() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  if (file) before_ = bytes_in("/proc/self/status", "VmRSS");
}

std::optional<int64_t> PeakMemory::extra_bytes() const {
  const auto peak = bytes_in("/proc/self/status", "VmHWM");
  if (!before_ || !peak) return std::nullopt;
  return std::max<int64_t>(0, *peak - *before_);
}

int64_t available_bytes() {
  const auto bytes = bytes_in("/proc/meminfo", "MemAvailable");
  if (!bytes)
    throw std::runtime_error("/proc/meminfo has no MemAvailable: Linux 3.14 or newer is needed");
  return *bytes;
}

double busy_cores(double seconds) {
  // The first line of /proc/stat: "cpu", then ticks of user, nice, system, idle, iowait, irq,
  // softirq and steal, of all cores together.
  const auto busy_ticks = [] {
    std::ifstream file("/proc/stat");
    std::string name;
    file >> name;
    double busy = 0;
    for (int column = 0; column < 8; ++column) {
      double ticks = 0;
      file >> ticks;
      if (column != 3 && column != 4) busy += ticks;
    }
    return busy;
  };
  const double before = busy_ticks();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  return (busy_ticks() - before) / static_cast<double>(sysconf(_SC_CLK_TCK)) / seconds;
}

}  // namespace cltrain::ntxent
