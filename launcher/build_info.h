// What this binary is: for --version, the start-up print and the metrics.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace cltrain {

std::string version();        ///< of cltrain
std::string commit();         ///< git describe of the source, or "unknown"
std::string torch_version();  ///< LibTorch built against
bool built_with_cuda();
std::string nccl_version();  ///< in use; "" where not built in
std::string mpi_version();   ///< "Open MPI v4.1.4"

/// Where shipped configs are looked up: share/cltrain/configs of the installation this binary is
/// in, then the source tree it was built from.
std::vector<std::filesystem::path> config_folders();

/// Several lines for `cltrain --version`.
std::string version_text();

}  // namespace cltrain
