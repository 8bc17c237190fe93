#include "train/run_directory.h"

#include "configs/config.h"
#include "train/files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
constexpr const char* kConfig = "config.resolved.yaml";

}  // namespace

RunDirectory::RunDirectory(fs::path path, const OptionTable& options) : path_(std::move(path)) {
  try {
    check_owner();
    fs::create_directories(path_);
  } catch (const fs::filesystem_error& error) {
    throw RunDirectoryError("run.dir=" + path_.string() + " cannot be used: " + error.what() +
                            "; choose a writable folder with run.dir=...");
  }
  lock();
  compare_options(options);
  replace_file_durably(path_ / kConfig, resolved_yaml(options));
}

RunDirectory::Lock::~Lock() {
  if (descriptor >= 0) close(descriptor);
}

void RunDirectory::check_owner() const {
  if (!fs::exists(path_)) return;
  if (!fs::is_directory(path_))
    throw RunDirectoryError("run.dir=" + path_.string() +
                            " is a file; choose another folder with run.dir=...");
  for (const auto& entry : fs::directory_iterator(path_))
    if (!fs::exists(path_ / kConfig) && entry.path().filename() != ".lock" &&
        entry.path().filename().string() != std::string(kConfig) + ".tmp")
      throw RunDirectoryError("run.dir=" + path_.string() + " holds files (" +
                              entry.path().filename().string() +
                              ") but is no run of cltrain: nothing was touched; choose an empty or "
                              "new folder with run.dir=...");
}

void RunDirectory::lock() {
  const fs::path file = path_ / ".lock";
  lock_.descriptor = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_.descriptor < 0)
    throw RunDirectoryError("run.dir=" + path_.string() + " is not writable: " +
                            std::strerror(errno) + "; choose another with run.dir=...");
  if (flock(lock_.descriptor, LOCK_EX | LOCK_NB) == 0) return;
  throw RunDirectoryError("another cltrain is working in run.dir=" + path_.string() +
                          "; wait for it, or choose another folder with run.dir=...");
}

int64_t RunDirectory::begin_session(int ranks, const std::string& host, const std::string& commit,
                                    int64_t resumed_step) const {
  const fs::path file = path_ / "sessions.jsonl";
  const std::string before = fs::exists(file) ? read_file(file) : "";
  char when[32];
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  std::strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
  const nlohmann::ordered_json line = {{"started", when},
                                       {"host", host},
                                       {"ranks", ranks},
                                       {"cltrain", commit},
                                       {"resumed_step", resumed_step}};
  replace_file_durably(file, before + line.dump() + "\n");
  return std::count(before.begin(), before.end(), '\n');
}

void RunDirectory::compare_options(const OptionTable& options) {
  const fs::path file = path_ / kConfig;
  if (!fs::exists(file)) return;
  // A first start that ended before its first session (weights that do not fit) binds nobody.
  if (!fs::exists(path_ / "sessions.jsonl") && !fs::exists(path_ / "checkpoints") &&
      !fs::exists(path_ / "metrics.jsonl"))
    return;
  std::string refused;
  for (const ConfigDifference& difference :
       compare(parse_resolved(read_file(file), file.string()), options)) {
    const std::string line = difference.name + ": " + difference.before + " -> " + difference.after;
    if (difference.safe)
      notes_.push_back("changed since the last session: " + line);
    else
      refused += "\n  " + line;
  }
  if (!refused.empty())
    throw RunDirectoryError("run.dir=" + path_.string() +
                            " holds a run with other options (then -> now):" + refused +
                            "\nNothing was touched. Use the options of the run, or start a new one "
                            "with run.dir=...");
}

}  // namespace cltrain
