// World: who this process is among the ranks. Made once by open_world() on every rank, passed by
// const reference, never global. Ranks come from MPI, under mpirun, srun --mpi=pmix or alone (one
// rank). The local rank is found by a shared-memory split, so it is right under every launcher.
//
// Errors: a failing MPI call or a missing device throws c10::Error naming it.
#pragma once

#include "dist/options.h"
#include "dist/watchdog.h"

#include <memory>
#include <string>

#include <c10/core/Device.h>

namespace cltrain {

struct World {
  int rank = 0;        ///< 0 .. size-1
  int size = 1;        ///< number of ranks
  int local_rank = 0;  ///< rank among those of this node
  int local_size = 1;  ///< ranks of this node
  int cores = 1;       ///< cores this rank may use: its fair share of the node's
  c10::Device device = c10::kCPU;
  std::string host;
  std::string device_note;  ///< why `device: auto` chose as it did; printed at start-up
  std::shared_ptr<Watchdog> watchdog;
};

/// Initialises MPI (thread level MULTIPLE) and finds this rank's place. Sets the CPU affinity and
/// the intra-op threads of this process to its share of the node's cores, whatever mpirun bound it
/// to; under Slurm the mask that Slurm gave is respected.
World open_world(const DistOptions& options);

/// Finalises MPI. Call after every Communicator of the world is gone.
void close_world(World& world);

/// The rank a launcher announced in the environment, before MPI is initialised; 0 when alone.
int announced_rank();
/// The number of ranks a launcher announced in the environment; 1 when alone.
int announced_size();

}  // namespace cltrain
