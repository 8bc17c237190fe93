#include "train/signals.h"

#include "dist/exit_codes.h"

#include <csignal>

#include <unistd.h>

namespace cltrain {
namespace {

// The one piece of process-wide state a signal handler can reach.
volatile std::sig_atomic_t requests = 0;

void on_signal(int) {
  requests = requests + 1;
  // mpirun forwards a signal to every rank, and a batch system may send USR1 and TERM together;
  // only a third request is impatience.
  if (requests > 2) _exit(kFailure);
}

}  // namespace

void listen_for_stop() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool stop_requested() {
  return requests > 0;
}

}  // namespace cltrain
