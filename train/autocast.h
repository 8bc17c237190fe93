// Autocast to bfloat16 for the life of a guard. Cast weights are cached within it and dropped at
// its end: a stale cache would train on old weights.
#pragma once

#include <ATen/autocast_mode.h>

namespace cltrain {

class AutocastGuard {
 public:
  AutocastGuard(c10::DeviceType device, bool enabled)
      : device_(device), before_(at::autocast::is_autocast_enabled(device)) {
    at::autocast::set_autocast_enabled(device, enabled);
    at::autocast::set_autocast_dtype(device, at::kBFloat16);
    at::autocast::increment_nesting();
  }
  ~AutocastGuard() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device_, before_);
  }
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  c10::DeviceType device_;
  bool before_;
};

}  // namespace cltrain
