// Checkpoints: everything a run needs to continue as if it had not stopped.
//
//   <run>/checkpoints/step-000000017/state.safetensors   every tensor: model, optimisers
//                                    manifest.json       counters, environment, SHA-256
//   <run>/checkpoints/latest -> step-000000017           moves last
//
// Nothing random is in it (draws are keyed) and no loader position (a function of the step). A
// checkpoint is written under a hidden name, fsynced and renamed, so that a folder named step-* is
// complete; older ones go only after `latest` moved. Files are checked against their SHA-256 before
// use; where they fail, the next older checkpoint is taken, loudly, and the damaged folder is
// renamed.
//
// Called on rank 0 only; the trainer spreads what it loads. Errors: IoError when writing,
// CheckpointError when nothing sound is left or shapes differ.
#pragma once

#include "models/method.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cltrain {

/// One moment of a run.
struct Snapshot {
  std::map<std::string, int64_t> counters;         ///< "step", "samples", "skipped_steps"
  std::vector<NamedTensor> tensors;                ///< shared with the live state, not copied
  std::map<std::string, std::string> environment;  ///< what restarts must share to be bit-identical
};

/// A checkpoint that passed its checksums.
struct FoundCheckpoint {
  std::filesystem::path folder;
  std::map<std::string, int64_t> counters;
  std::map<std::string, std::string> environment;
  std::string state_sha256;
};

class CheckpointStore {
 public:
  using Warn = std::function<void(const std::string&)>;

  /// `folder` is <run>/checkpoints; it is created by the first save.
  CheckpointStore(std::filesystem::path folder, int64_t keep, Warn warn);

  /// Returns the folder written and its size in bytes.
  std::pair<std::filesystem::path, int64_t> save(const Snapshot& snapshot) const;
  /// The newest sound checkpoint; none when there is no checkpoint at all. Throws CheckpointError
  /// when there are some and every one is damaged.
  /// Damaged ones that are newer are renamed, so that they are not tried again; not by a reader
  /// beside a run that may be writing just then (kLeave).
  enum class Damaged { kRename, kLeave };
  std::optional<FoundCheckpoint> newest(Damaged damaged = Damaged::kRename) const;
  /// Copies the checkpoint's values into `tensors` (same names, shapes and types; every difference
  /// is listed in one CheckpointError, before anything is changed). Tensors of the checkpoint whose
  /// names do not begin with `prefix` are left alone.
  void load(const FoundCheckpoint& found, const std::vector<NamedTensor>& tensors,
            const std::string& prefix = "") const;

 private:
  std::vector<std::filesystem::path> list() const;  // newest first
  void remove_old(const std::filesystem::path& newest) const;

  std::filesystem::path folder_;
  int64_t keep_;
  Warn warn_;
};

}  // namespace cltrain
