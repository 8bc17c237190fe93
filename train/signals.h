// Stop requests. SIGUSR1 (forwarded by mpirun and srun) or SIGTERM asks for a checkpoint at the
// next step boundary; a third one ends the process at once. One signalled rank is enough: the flag
// is shared with the other ranks once a step.
#pragma once

namespace cltrain {

/// Installs the handlers; call once, on every rank, before the first step.
void listen_for_stop();
/// True once a stop was asked for on this rank.
bool stop_requested();

}  // namespace cltrain
