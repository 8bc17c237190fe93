// Round numbers for the axes of a picture.
//
// Pure functions, any thread.
#pragma once

#include <string>
#include <vector>

namespace cltrain {

struct Axis {
  double low = 0, high = 1;
  double step = 1;            ///< distance of two ticks
  std::vector<double> ticks;  ///< multiples of `step` within low..high

  /// 0 at `low`, 1 at `high`.
  double place(double value) const { return (value - low) / (high - low); }
};

/// An axis over low..high with about `wanted` ticks, 1, 2 or 5 times a power of ten apart. Where
/// low == high, or one is not finite, it is widened to something that can be drawn.
Axis make_axis(double low, double high, int wanted);

/// 12000 -> "12k", 1.5e6 -> "1.5M", 0.25 -> "0.25", 0.00005 -> "5e-5"; `step` is the axis's.
std::string tick_label(double value, double step);

}  // namespace cltrain
