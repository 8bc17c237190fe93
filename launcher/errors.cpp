#include "launcher/errors.h"

#include "configs/mistakes.h"
#include "data/dataset.h"
#include "dist/errors.h"
#include "dist/exit_codes.h"
#include "dist/world.h"
#include "monitoring/sink.h"
#include "train/files.h"
#include "train/trainer.h"

#include <cstdio>
#include <string>
#include <thread>

#include <c10/util/Exception.h>
#include <unistd.h>

namespace cltrain {
namespace {

struct Report {
  int code;
  std::string text;
  bool same_on_all_ranks = false;
};

Report current_error() {
  try {
    throw;
  } catch (const ConfigError& error) {
    return {kConfigError, error.what(), true};
  } catch (const DataError& error) {
    return {kDataError, error.what()};
  } catch (const RunDirectoryError& error) {
    return {kRunDirectoryError, error.what()};
  } catch (const CheckpointError& error) {
    return {kCheckpointError, error.what()};
  } catch (const NonFinite& error) {
    return {kNonFinite, error.what(), true};
  } catch (const PeerLost& error) {
    return {kPeerLost, error.what()};
  } catch (const IoError& error) {
    return {kIoError, error.what(), true};
  } catch (const RecordError& error) {
    return {kIoError, error.what()};
  } catch (const c10::Error& error) {
    return {kFailure, error.what_without_backtrace()};
  } catch (const std::exception& error) {
    return {kFailure, error.what()};
  }
}

}  // namespace

int report_current_error(int rank, double grace_seconds) {
  const Report report = current_error();
  if (rank != 0) std::this_thread::sleep_for(std::chrono::duration<double>(grace_seconds));
  if (rank == 0 || !report.same_on_all_ranks) {
    const bool alone = announced_size() == 1 || (report.code == kConfigError && rank == 0);
    const std::string prefix = alone ? "cltrain: " : "cltrain: rank " + std::to_string(rank) + ": ";
    std::fprintf(stderr, "%s%s\n", prefix.c_str(), report.text.c_str());
    std::fflush(stderr);
  }
  return report.code;
}

void leave(int exit_code) {
  std::fflush(nullptr);
  _exit(exit_code);
}

}  // namespace cltrain
