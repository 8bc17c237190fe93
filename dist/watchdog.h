// Watchdog: ends a rank that waits too long for its peers. MPI's blocking collectives have no
// time-out of their own, and a peer that is stopped (not dead) would hang the job for ever.
//
// One per process, owned by the World. watch() is called by the backend around each blocking call;
// a thread of the watchdog's own looks once a second. It shares no lock with MPI or torch. When the
// time is up it prints which operation, sequence number and rank waited how long, and leaves by
// _exit(71); the launcher then ends the other ranks.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace cltrain {

class Watchdog {
 public:
  Watchdog(int rank, double timeout_seconds);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// While the returned guard lives, the operation counts as waiting.
  class Guard {
   public:
    explicit Guard(Watchdog& watchdog) : watchdog_(&watchdog) {}
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() { watchdog_->finish(); }

   private:
    Watchdog* watchdog_;
  };
  Guard watch(const char* operation, const std::string& group, uint64_t sequence);

  double timeout_seconds() const { return timeout_seconds_; }

 private:
  void finish();
  void run();

  const int rank_;
  const double timeout_seconds_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  bool waiting_ = false;
  double since_ = 0;
  std::string what_;
  std::thread thread_;
};

}  // namespace cltrain
