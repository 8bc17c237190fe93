// From exceptions to exit codes: one clear message, a code of its own for each kind, no hang.
#pragma once

namespace cltrain {

/// Call inside a catch block: prints the current exception once and returns its exit code. Rank 0
/// prints at once; the other ranks first wait to be ended by the launcher (most errors befall every
/// rank alike, and a rank that leaves early makes mpirun kill rank 0 before its message is out) and
/// speak only if they are still there after `grace` seconds.
int report_current_error(int rank, double grace_seconds = 3);

/// Flushes and leaves at once, without MPI_Finalize and destructors that would wait for peers.
[[noreturn]] void leave(int exit_code);

}  // namespace cltrain
