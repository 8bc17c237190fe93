// What Linux tells: free memory, how busy the machine is, and how much memory a piece of work needs
// at its peak. The last is the high-water mark of resident memory, set back by writing 5 to
// /proc/self/clear_refs. One process; exact to some hundred KiB a thread.
#pragma once

#include <cstdint>
#include <optional>

namespace cltrain::ntxent {

/// So that work measured afterwards does not hide in memory that was freed before.
void give_back_free_memory();

class PeakMemory {
 public:
  /// The work begins.
  PeakMemory();
  /// The peak since then, above what was resident then; nothing where the kernel cannot tell.
  std::optional<int64_t> extra_bytes() const;

 private:
  std::optional<int64_t> before_;
};

/// What the kernel thinks can be had without swapping.
int64_t available_bytes();

/// How many cores the machine's programs keep busy, looked at for so long.
double busy_cores(double seconds);

}  // namespace cltrain::ntxent
