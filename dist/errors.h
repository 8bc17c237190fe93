// Errors that the launcher turns into exit codes of their own (dist/exit_codes.h).
#pragma once

#include <stdexcept>

namespace cltrain {

/// A collective failed or a peer is gone: exit code 71.
class PeerLost : public std::runtime_error {
  using runtime_error::runtime_error;
};

}  // namespace cltrain
