// The run directory: one folder a run.
//
//   config.resolved.yaml   every option as the run uses it
//   metrics.jsonl          a line a step, each step once; evaluations.jsonl likewise
//   checkpoints/           see train/checkpoint.h
//   sessions.jsonl         a line each time a cltrain took up the run: when, where, at which step
//   summary.json           written at the end
//   .lock                  held while a cltrain works here
//
// Opened on rank 0 only, before training. Errors: RunDirectoryError when the folder belongs to
// something else, another cltrain works in it, or an option changed that may not change.
#pragma once

#include "configs/option_table.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cltrain {

class RunDirectory {
 public:
  /// Creates the folder or checks that it is this run's. Fills notes() with what a reader of the
  /// start-up print should know (options that changed and may).
  RunDirectory(std::filesystem::path path, const OptionTable& options);
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  /// Notes in sessions.jsonl that a session begins; returns how many there were before.
  int64_t begin_session(int ranks, const std::string& host, const std::string& commit,
                        int64_t resumed_step) const;

  const std::filesystem::path& path() const { return path_; }
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  void lock();
  void check_owner() const;
  void compare_options(const OptionTable& options);

  std::filesystem::path path_;
  std::vector<std::string> notes_;
  /// Lets the lock go also when the constructor throws.
  struct Lock {
    int descriptor = -1;
    ~Lock();
  } lock_;
};

}  // namespace cltrain
