#include "launcher/build_info.h"

#include "ops/lse_products.h"
#include "ops/simd.h"

#include <array>

#include <mpi.h>
#ifdef CLTRAIN_CUDA
#include <nccl.h>
#endif
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

std::string nccl_version() {
#ifdef CLTRAIN_CUDA
  int code = 0;
  if (ncclGetVersion(&code) != ncclSuccess) return "";
  return std::to_string(code / 10000) + "." + std::to_string(code / 100 % 100) + "." +
         std::to_string(code % 100);
#else
  return "";
#endif
}

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string whole(text.data(), static_cast<size_t>(length));
  return whole.substr(0, whole.find(','));
}

std::string version_text() {
  const std::string nccl = nccl_version();
  return "cltrain      " + version() + " (commit " + commit() + ")\n" + "LibTorch     " +
         torch_version() + "\n" + "MPI          " + mpi_version() + "\n" + "NCCL         " +
         (nccl.empty() ? "not built in" : nccl) + "\n" + "CPU kernels  " + simd_path() +
         (has_bfloat16_products() ? ", bfloat16 products" : ", bfloat16 products in float32") +
         "\n" + "CUDA parts   " +
         (built_with_cuda() ? "built in, unverified (off unless device=cuda)" : "not built in") +
         "\n";
}

}  // namespace cltrain
