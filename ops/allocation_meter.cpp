#include "ops/allocation_meter.h"

#include <algorithm>

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

namespace cltrain {

struct AllocationMeter::Counter : c10::MemoryReportingInfoBase {
  int64_t current = 0, peak = 0;

  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device device) override {
    if (!device.is_cpu()) return;
    current += bytes;
    peak = std::max(peak, current);
  }
  bool memoryProfilingEnabled() const override { return true; }
};

AllocationMeter::AllocationMeter() : counter_(std::make_shared<Counter>()) {
  c10::ThreadLocalDebugInfo::_push(c10::DebugInfoKind::PROFILER_STATE, counter_);
}

AllocationMeter::~AllocationMeter() {
  c10::ThreadLocalDebugInfo::_pop(c10::DebugInfoKind::PROFILER_STATE);
}

int64_t AllocationMeter::current() const {
  return counter_->current;
}
int64_t AllocationMeter::peak() const {
  return counter_->peak;
}
void AllocationMeter::reset_peak() {
  counter_->peak = counter_->current;
}

}  // namespace cltrain
