#include "dist/watchdog.h"

#include "dist/exit_codes.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include <unistd.h>

namespace cltrain {
namespace {

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Watchdog::Watchdog(int rank, double timeout_seconds)
    : rank_(rank), timeout_seconds_(timeout_seconds), thread_([this] { run(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

Watchdog::Guard Watchdog::watch(const char* operation, const std::string& group,
                                uint64_t sequence) {
  const std::lock_guard lock(mutex_);
  waiting_ = true;
  since_ = now_seconds();
  what_ = std::string(operation) + " #" + std::to_string(sequence) + " of group '" + group + "'";
  return Guard(*this);
}

void Watchdog::finish() {
  const std::lock_guard lock(mutex_);
  waiting_ = false;
}

void Watchdog::run() {
  std::unique_lock lock(mutex_);
  const auto period = std::chrono::duration<double>(std::min(1.0, timeout_seconds_ / 4));
  while (!wake_.wait_for(lock, period, [this] { return stop_; })) {
    const double waited = now_seconds() - since_;
    if (!waiting_ || waited < timeout_seconds_) continue;
    std::fprintf(
        stderr,
        "cltrain: rank %d: %s has waited %.0f s for its peers (dist.timeout=%g): a rank is "
        "gone, stopped or in another collective. Run the same command again to continue "
        "from the last checkpoint.\n",
        rank_, what_.c_str(), waited, timeout_seconds_);
    std::fflush(stderr);
    _exit(kPeerLost);
  }
}

}  // namespace cltrain
