// A communicator of one rank, for tests of code that wants one without starting mpirun.
// MPI is initialised at the first use and finalised after the last test of the binary.
#pragma once

#include "dist/communicator.h"
#include "dist/mpi_backend.h"

#include <memory>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <gtest/gtest.h>
#include <mpi.h>

namespace cltrain::testing {

class MpiEnvironment : public ::testing::Environment {
 public:
  void TearDown() override {
    int ready = 0, over = 0;
    MPI_Initialized(&ready);
    MPI_Finalized(&over);
    if (ready && !over) MPI_Finalize();
  }
};

/// Call from a test body, and keep no communicator beyond it.
inline std::unique_ptr<Communicator> one_rank() {
  int ready = 0, level = 0;
  MPI_Initialized(&ready);
  if (!ready) {
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &level);
    ::testing::AddGlobalTestEnvironment(new MpiEnvironment);
  }
  auto group = c10::make_intrusive<c10d::ProcessGroup>(0, 1);
  group->setBackend(c10::DeviceType::CPU, c10d::ProcessGroup::CUSTOM,
                    c10::intrusive_ptr<c10d::Backend>(c10::make_intrusive<MpiBackend>(
                        MPI_COMM_SELF, "test", std::make_shared<Watchdog>(0, 600.0))));
  group->setDefaultBackend(c10d::ProcessGroup::CUSTOM);
  return std::make_unique<Communicator>(std::move(group), c10::kCPU);
}

}  // namespace cltrain::testing
