#include "dist/nccl_group.h"

#include <c10/util/Exception.h>

#ifdef CLTRAIN_CUDA
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <mpi.h>
#include <unistd.h>
#endif

namespace cltrain {

#ifdef CLTRAIN_CUDA
namespace {

constexpr size_t kTextSize = 512;

/// Rank 0's text on every rank.
std::string share_text(std::string text) {
  std::array<char, kTextSize> buffer{};
  std::strncpy(buffer.data(), text.c_str(), buffer.size() - 1);
  MPI_Bcast(buffer.data(), static_cast<int>(buffer.size()), MPI_CHAR, 0, MPI_COMM_WORLD);
  return buffer.data();
}

// A TCPStore listens on every interface, so one node meets in a private file instead.
c10::intrusive_ptr<c10d::Store> meeting_place(const World& world, const std::string& name) {
  if (world.local_size == world.size) {
    std::string path;
    if (world.rank == 0) {
      std::string pattern = (std::filesystem::temp_directory_path() / "cltrain-XXXXXX").string();
      const int file = mkstemp(pattern.data());
      TORCH_CHECK(file >= 0, "cannot create a file like ", pattern, " for the ranks to meet in");
      close(file);
      path = pattern;
    }
    return c10::make_intrusive<c10d::FileStore>(share_text(path), world.size);
  }
  c10d::TCPStoreOptions options;
  options.isServer = world.rank == 0;
  options.port = 0;
  options.waitWorkers = false;
  options.numWorkers = world.size;
  c10::intrusive_ptr<c10d::TCPStore> server;
  std::string address;
  if (world.rank == 0) {
    server = c10::make_intrusive<c10d::TCPStore>(world.host, options);
    address = world.host + " " + std::to_string(server->getPort());
  }
  address = share_text(address);
  if (world.rank == 0) return server;
  const auto space = address.find(' ');
  options.port = static_cast<uint16_t>(std::stoi(address.substr(space + 1)));
  return c10::make_intrusive<c10d::TCPStore>(address.substr(0, space), options);
}

}  // namespace

c10::intrusive_ptr<c10d::ProcessGroup> open_nccl_group(const World& world,
                                                       const std::string& name) {
  auto store = c10::make_intrusive<c10d::PrefixStore>(name, meeting_place(world, name));
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout =
      std::chrono::milliseconds(static_cast<int64_t>(world.watchdog->timeout_seconds() * 1000));
  auto backend =
      c10::make_intrusive<c10d::ProcessGroupNCCL>(store, world.rank, world.size, options);
  auto group = c10::make_intrusive<c10d::ProcessGroup>(store, world.rank, world.size);
  group->setBoundDeviceId(world.device);
  group->setBackend(c10::DeviceType::CUDA, c10d::ProcessGroup::NCCL,
                    c10::intrusive_ptr<c10d::Backend>(backend));
  group->setDefaultBackend(c10d::ProcessGroup::NCCL);
  group->setGroupName(name);
  return group;
}
#else
c10::intrusive_ptr<c10d::ProcessGroup> open_nccl_group(const World&, const std::string&) {
  TORCH_CHECK(false, "this cltrain was built without CUDA: there is no NCCL; use device=cpu");
}
#endif

}  // namespace cltrain
