#include "train/checkpoint.h"

#include "data/sha256.h"
#include "train/digest.h"
#include "train/files.h"
#include "train/safetensors.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include <unistd.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kFormat = "cltrain-checkpoint-1";
constexpr const char* kStateFile = "state.safetensors";
constexpr const char* kManifest = "manifest.json";

std::string folder_name(int64_t step) {
  char text[32];
  std::snprintf(text, sizeof(text), "step-%09lld", static_cast<long long>(step));
  return text;
}

/// The SHA-256 that a manifest carries of itself: of its text without that entry.
std::string seal_of(json manifest) {
  manifest.erase("manifest_sha256");
  Sha256 sha;
  sha.add(manifest.dump());
  return sha.hex();
}

/// Reads and verifies one checkpoint folder; throws CheckpointError naming the file at fault.
FoundCheckpoint verify(const fs::path& folder) {
  const fs::path manifest_path = folder / kManifest;
  try {
    const json manifest = json::parse(read_file(manifest_path));
    if (manifest.at("format") != kFormat)
      throw CheckpointError(manifest_path.string() + " has the format " +
                            manifest.at("format").dump() + "; this cltrain reads " + kFormat);
    if (manifest.at("manifest_sha256") != seal_of(manifest))
      throw CheckpointError(manifest_path.string() +
                            " is damaged: its SHA-256 is not the one it carries");
    for (const auto& [name, facts] : manifest.at("files").items()) {
      const fs::path file = folder / name;
      std::error_code error;
      const auto size = fs::file_size(file, error);
      if (error) throw CheckpointError(file.string() + " is missing");
      if (size != facts.at("bytes").get<uint64_t>())
        throw CheckpointError(file.string() + " has " + std::to_string(size) + " bytes, not the " +
                              facts.at("bytes").dump() + " of its manifest");
      if (sha256_of_file(file) != facts.at("sha256").get<std::string>())
        throw CheckpointError(file.string() + " is damaged: its SHA-256 is not the manifest's");
    }
    FoundCheckpoint found;
    found.folder = folder;
    found.counters = manifest.at("counters").get<std::map<std::string, int64_t>>();
    found.environment = manifest.at("environment").get<std::map<std::string, std::string>>();
    found.state_sha256 = manifest.at("state_sha256").get<std::string>();
    return found;
  } catch (const json::exception& error) {
    throw CheckpointError(manifest_path.string() + " is damaged: " + error.what());
  } catch (const CheckpointError&) {
    throw;
  } catch (const std::runtime_error& error) {
    throw CheckpointError(error.what());
  }
}

}  // namespace

CheckpointStore::CheckpointStore(fs::path folder, int64_t keep, Warn warn)
    : folder_(std::move(folder)), keep_(keep), warn_(std::move(warn)) {}

std::pair<fs::path, int64_t> CheckpointStore::save(const Snapshot& snapshot) const {
  const std::string name = folder_name(snapshot.counters.at("step"));
  const fs::path target = folder_ / name, temporary = folder_ / ("." + name + ".tmp");
  int64_t bytes = 0;
  try {
    fs::create_directory(folder_);  // not its parent: a run directory that is gone is a failure
    fs::remove_all(temporary);
    fs::create_directory(temporary);
    write_safetensors(temporary / kStateFile, snapshot.tensors);
    bytes = static_cast<int64_t>(fs::file_size(temporary / kStateFile));
    json manifest = {
        {"format", kFormat},
        {"counters", snapshot.counters},
        {"environment", snapshot.environment},
        {"state_sha256", sha256_of_state(snapshot.tensors, snapshot.counters)},
        {"files",
         {{kStateFile, {{"bytes", bytes}, {"sha256", sha256_of_file(temporary / kStateFile)}}}}}};
    manifest["manifest_sha256"] = seal_of(manifest);
    write_file_durably(temporary / kManifest, {manifest.dump(2)});
    sync_folder(temporary);
    fs::remove_all(target);  // a damaged one of the same step, or one of before a resume
    fs::rename(temporary, target);
    const fs::path link = folder_ / ".latest.tmp";
    fs::remove(link);
    fs::create_directory_symlink(name, link);
    fs::rename(link, folder_ / "latest");
    sync_folder(folder_);
    remove_old(target);
  } catch (const IoError&) {
    throw;
  } catch (const std::runtime_error& error) {  // of the file system, or a file that is gone
    throw IoError(std::string("cannot write the checkpoint ") + target.string() + ": " +
                  error.what() + ". Earlier checkpoints are intact");
  }
  return {target, bytes};
}

std::vector<fs::path> CheckpointStore::list() const {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error))
    if (entry.path().filename().string().rfind("step-", 0) == 0) found.push_back(entry.path());
  std::sort(found.rbegin(), found.rend());
  return found;
}

void CheckpointStore::remove_old(const fs::path& newest) const {
  std::error_code error;  // a leftover that cannot be removed costs space, not the run
  int64_t kept = 0;
  for (const fs::path& path : list())
    if (path <= newest && ++kept > keep_) fs::remove_all(path, error);
  for (const auto& entry : fs::directory_iterator(folder_, error))
    if (entry.path().filename().string().rfind(".step-", 0) == 0)
      fs::remove_all(entry.path(), error);
}

std::optional<FoundCheckpoint> CheckpointStore::newest(Damaged treatment) const {
  const std::vector<fs::path> all = list();
  std::string faults;
  std::vector<fs::path> damaged;
  for (const fs::path& folder : all) {
    try {
      FoundCheckpoint found = verify(folder);
      // A damaged one must not be tried again: the step log is about to be cut behind it.
      for (const fs::path& path : damaged) {
        if (treatment == Damaged::kLeave) break;
        std::error_code error;
        fs::rename(path, path.parent_path() / ("damaged-" + path.filename().string()), error);
      }
      if (!faults.empty())
        warn_(
            "taking the older checkpoint " + folder.string() +
            (treatment == Damaged::kRename ? "; the damaged one was renamed to damaged-..." : ""));
      return found;
    } catch (const CheckpointError& error) {
      warn_(std::string("WARNING: unusable checkpoint: ") + error.what());
      faults += std::string("\n  ") + error.what();
      damaged.push_back(folder);
    }
  }
  if (all.empty()) return std::nullopt;
  throw CheckpointError("no sound checkpoint is left in " + folder_.string() + ":" + faults +
                        "\nRestore one of them, or start over with another run.dir");
}

void CheckpointStore::load(const FoundCheckpoint& found, const std::vector<NamedTensor>& tensors,
                           const std::string& prefix) const {
  std::map<std::string, at::Tensor> stored;
  for (auto& [name, tensor] : read_safetensors(found.folder / kStateFile))
    if (name.starts_with(prefix)) stored[name] = tensor;
  std::string differences;
  for (const auto& [name, tensor] : tensors) {
    const auto it = stored.find(name);
    if (it == stored.end())
      differences += "\n  missing in the checkpoint: " + name;
    else if (it->second.sizes() != tensor.sizes() ||
             it->second.scalar_type() != tensor.scalar_type())
      differences += "\n  " + name + ": the checkpoint has " + shape_text(it->second) +
                     ", this run has " + shape_text(tensor);
  }
  for (const auto& [name, tensor] : stored)
    if (std::none_of(tensors.begin(), tensors.end(),
                     [&](const NamedTensor& item) { return item.first == name; }))
      differences += "\n  only in the checkpoint: " + name;
  if (!differences.empty())
    throw CheckpointError("the state in " + found.folder.string() +
                          " does not fit this run:" + differences +
                          "\nUse the options it was written with, or another run.dir");
  const c10::NoGradGuard no_grad;
  for (const auto& [name, tensor] : tensors) at::Tensor(tensor).copy_(stored.at(name));
}

}  // namespace cltrain
