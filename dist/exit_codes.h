// The exit codes of cltrain, documented in docs/operations.md. Every error ends the program with
// one of them, so that job scripts can tell what happened.
#pragma once

namespace cltrain {

enum ExitCode : int {
  kDone = 0,
  kFailure = 1,            ///< anything not named below
  kConfigError = 2,        ///< a mistake in the command line or a config file
  kDataError = 3,          ///< data missing, unreadable or malformed
  kRunDirectoryError = 4,  ///< the run directory belongs to another run, or its options changed
  kCheckpointError = 5,    ///< no readable checkpoint, or one of other shapes
  kNonFinite = 70,         ///< a loss or gradient was not finite; no update was made
  kPeerLost = 71,          ///< a collective failed or timed out: a peer is gone or hangs
  kIoError = 74,           ///< writing a checkpoint or a result failed
  kStoppedWithCheckpoint = 75,  ///< asked to stop; a checkpoint was written: run me again
};

}  // namespace cltrain
