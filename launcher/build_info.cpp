#include "launcher/build_info.h"

#include "ops/simd.h"

#include <array>

#include <mpi.h>
#include <torch/version.h>

namespace cltrain {

std::string version() {
  return CLTRAIN_VERSION;
}

std::string commit() {
  const std::string text = CLTRAIN_COMMIT;
  return text.empty() ? "unknown" : text;
}

std::string torch_version() {
  return TORCH_VERSION;
}

bool built_with_cuda() {
#ifdef CLTRAIN_CUDA
  return true;
#else
  return false;
#endif
}

std::vector<std::filesystem::path> config_folders() {
  std::error_code error;
  const auto binary = std::filesystem::read_symlink("/proc/self/exe", error);
  std::vector<std::filesystem::path> folders;
  if (!error)
    folders.push_back(binary.parent_path().parent_path() / "share" / "cltrain" / "configs");
  folders.emplace_back(CLTRAIN_SOURCE_CONFIGS);
  return folders;
}

std::string version_text() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> mpi{};
  int length = 0;
  MPI_Get_library_version(mpi.data(), &length);
  const std::string mpi_text(mpi.data(), static_cast<size_t>(length));
  return "cltrain " + version() + " (commit " + commit() + ")\n" + "LibTorch " + torch_version() +
         "\n" + mpi_text.substr(0, mpi_text.find(',')) + "\n" + "CPU kernels: " + simd_path() +
         "\n" + "CUDA kernels and NCCL: " +
         (built_with_cuda() ? "built in, unverified (off unless device=cuda)" : "not built in") +
         "\n";
}

}  // namespace cltrain
