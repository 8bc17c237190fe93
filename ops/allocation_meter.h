// AllocationMeter: bytes of CPU tensors that this thread allocates while the meter lives, from the
// allocator's own reports. For estimates and tests of memory. Meters nest no deeper than one.
#pragma once

#include <cstdint>
#include <memory>

namespace cltrain {

class AllocationMeter {
 public:
  AllocationMeter();
  ~AllocationMeter();
  AllocationMeter(const AllocationMeter&) = delete;
  AllocationMeter& operator=(const AllocationMeter&) = delete;

  int64_t current() const;  ///< allocated since the start and not freed; what was there before and
                            ///< is freed counts negative
  int64_t peak() const;     ///< the highest current() since the start or the last reset_peak()
  void reset_peak();

 private:
  struct Counter;
  std::shared_ptr<Counter> counter_;
};

}  // namespace cltrain
