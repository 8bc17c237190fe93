#include "dist/world.h"

#include "configs/mistakes.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <malloc.h>
#include <mpi.h>
#include <sched.h>
#include <unistd.h>

#ifdef CLTRAIN_CUDA
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace cltrain {
namespace {

void check(int status, const char* call) {
  TORCH_CHECK(status == MPI_SUCCESS, call, " failed with MPI error ", status);
}

std::string host_name() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  return host.data();
}

int from_environment(std::initializer_list<const char*> names, int otherwise) {
  for (const char* name : names)
    if (const char* text = std::getenv(name)) return std::atoi(text);
  return otherwise;
}

cpu_set_t allowed_cores() {
  // mpirun binds a rank to one core by default; ask for every core and let the kernel cut that down
  // to what the container or cgroup allows. Under srun the mask is an allocation: it is kept.
  const bool under_srun = std::getenv("SLURM_STEP_ID") && !std::getenv("OMPI_COMM_WORLD_RANK");
  if (!under_srun) {
    cpu_set_t every;
    std::memset(&every, 0xff, sizeof(every));
    sched_setaffinity(0, sizeof(every), &every);
  }
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof(allowed), &allowed);
  return allowed;
}

/// Cuts the cores among the ranks of this node that hold the same mask; returns the share's size.
int take_core_share(MPI_Comm node) {
  const cpu_set_t allowed = allowed_cores();
  int local_rank = 0, local_size = 1;
  MPI_Comm_rank(node, &local_rank);
  MPI_Comm_size(node, &local_size);
  std::vector<cpu_set_t> masks(local_size);
  check(MPI_Allgather(&allowed, sizeof(allowed), MPI_BYTE, masks.data(), sizeof(allowed), MPI_BYTE,
                      node),
        "MPI_Allgather of the core masks");
  int sharers = 0, place = 0;
  for (int r = 0; r < local_size; ++r) {
    if (!CPU_EQUAL(&masks[r], &allowed)) continue;
    if (r < local_rank) ++place;
    ++sharers;
  }
  std::vector<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &allowed)) cores.push_back(core);
  const int count = static_cast<int>(cores.size());
  if (sharers > count) return 1;  // more ranks than cores: the scheduler shares them better than we
  const int begin = place * count / sharers, end = (place + 1) * count / sharers;
  cpu_set_t share;
  CPU_ZERO(&share);
  for (int i = begin; i < end; ++i) CPU_SET(cores[i], &share);
  sched_setaffinity(0, sizeof(share), &share);
  return end - begin;
}

/// The device of this rank and, for `auto`, why.
std::pair<c10::Device, std::string> choose_device(const std::string& wanted, int local_rank) {
#ifdef CLTRAIN_CUDA
  const int gpus = c10::cuda::device_count();
  if (wanted == "cuda") {
    if (gpus == 0)
      throw ConfigError("device=cuda, but " + host_name() +
                        " shows no GPU; use device=cpu or device=auto");
    const auto index = static_cast<c10::DeviceIndex>(local_rank % gpus);
    c10::cuda::set_device(index);
    return {c10::Device(c10::kCUDA, index), "unverified: no GPU has run this path's tests yet"};
  }
  if (wanted == "auto" && gpus > 0)
    return {c10::kCPU, "a GPU is here, but the CUDA path is unverified; device=cuda asks for it"};
#else
  if (wanted == "cuda")
    throw ConfigError(
        "device=cuda, but this cltrain was built without CUDA; install nvcc and build again, or "
        "use device=cpu");
#endif
  return {c10::kCPU, ""};
}

}  // namespace

int announced_rank() {
  return from_environment({"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"}, 0);
}

int announced_size() {
  return from_environment({"OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS"}, 1);
}

World open_world(const DistOptions& options) {
  // glibc returns large blocks to the kernel at once; faulting them in again costs an all-reduce of
  // all gradients several times its own length.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2147483647);
  int provided = 0;
  check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  TORCH_CHECK(provided == MPI_THREAD_MULTIPLE, "this MPI offers thread level ", provided,
              " but cltrain needs MPI_THREAD_MULTIPLE (", MPI_THREAD_MULTIPLE,
              "); Debian's Open MPI has it");
  World world;
  MPI_Comm_rank(MPI_COMM_WORLD, &world.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &world.size);
  MPI_Comm node = MPI_COMM_NULL;
  check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, world.rank, MPI_INFO_NULL, &node),
        "MPI_Comm_split_type");
  MPI_Comm_rank(node, &world.local_rank);
  MPI_Comm_size(node, &world.local_size);
  world.cores = take_core_share(node);
  MPI_Comm_free(&node);
  at::set_num_threads(world.cores);
  world.host = host_name();
  std::tie(world.device, world.device_note) = choose_device(options.device, world.local_rank);
  world.watchdog = std::make_shared<Watchdog>(world.rank, options.timeout);
  return world;
}

void close_world(World& world) {
  world.watchdog.reset();
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (!finalized) MPI_Finalize();
}

}  // namespace cltrain
