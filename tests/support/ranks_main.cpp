// main() of ranks_tests: opens the world, checks that it has the ranks that were asked for, runs
// the tests on every rank. Output of ranks other than 0 is kept to failures.
#include "dist/mpi_backend.h"
#include "support/ranks.h"

#include <cstdio>
#include <filesystem>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>
#include <mpi.h>
#include <unistd.h>

namespace cltrain::testing {
namespace {

World* the_world = nullptr;
Communicators* the_communicators = nullptr;
std::string the_folder;

std::unique_ptr<Communicator> alone_in(const char* name) {
  auto group = c10::make_intrusive<c10d::ProcessGroup>(0, 1);
  group->setBackend(c10::DeviceType::CPU, c10d::ProcessGroup::CUSTOM,
                    c10::intrusive_ptr<c10d::Backend>(
                        c10::make_intrusive<MpiBackend>(MPI_COMM_SELF, name, the_world->watchdog)));
  group->setDefaultBackend(c10d::ProcessGroup::CUSTOM);
  group->setGroupName(name);
  return std::make_unique<Communicator>(std::move(group), c10::kCPU);
}

/// Prints failures of other ranks, which would be lost in rank 0's listing.
class FailuresOnly : public ::testing::EmptyTestEventListener {
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (result.failed())
      std::fprintf(stderr, "rank %d: %s:%d: %s\n", the_world->rank, result.file_name(),
                   result.line_number(), result.message());
  }
};

}  // namespace

const World& world() {
  return *the_world;
}
const Communicators& all_ranks() {
  return *the_communicators;
}

std::unique_ptr<Communicators> alone() {
  auto result = std::make_unique<Communicators>();
  result->gradients = alone_in("gradients-alone");
  result->loss = alone_in("loss-alone");
  result->control = alone_in("control-alone");
  return result;
}

double relative_difference(const at::Tensor& a, const at::Tensor& b, double scale) {
  const double norm_a = a.norm().item<double>(), norm_b = b.norm().item<double>();
  const double larger = std::max(norm_a, norm_b);
  if (larger <= 1e-12 * scale) return 0;
  if (larger == 0) return 0;
  return (a - b).norm().item<double>() / larger;
}

std::string shared_folder(const std::string& name) {
  const std::string folder = the_folder + "/" + name;
  if (the_world->rank == 0) std::filesystem::create_directories(folder);
  the_communicators->control->barrier();
  return folder;
}

int run(int count, char** words) {
  ::testing::InitGoogleTest(&count, words);
  int expected = 0;
  for (int i = 1; i < count; ++i) std::sscanf(words[i], "--ranks=%d", &expected);
  World world = open_world({.device = "cpu", .timeout = 120});
  the_world = &world;
  if (world.size != expected) {
    std::fprintf(stderr, "rank %d: asked for --ranks=%d but the world has %d\n", world.rank,
                 expected, world.size);
    return 1;
  }
  Communicators communicators = open_communicators(world);
  the_communicators = &communicators;
  the_folder =
      (std::filesystem::temp_directory_path() /
       ("cltrain-ranks-" + std::to_string(communicators.control->all_gather_count(getpid())[0])))
          .string();
  if (world.rank != 0) {
    auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailuresOnly);
  }
  const int code = RUN_ALL_TESTS();
  communicators.control->barrier();
  if (world.rank == 0) std::filesystem::remove_all(the_folder);
  communicators = {};
  close_world(world);
  return code;
}

}  // namespace cltrain::testing

int main(int count, char** words) {
  return cltrain::testing::run(count, words);
}
