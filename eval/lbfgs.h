// L-BFGS for smooth convex functions: Nocedal and Wright, "Numerical Optimization", 2nd edition,
// algorithms 7.4 (two loops) and 3.1 (backtracking). Pure apart from the calls of `function`; on
// equal values it takes the same path, so ranks that share a function stay together.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace cltrain {

/// Writes the gradient at `point` and returns the value. Both vectors have the point's size.
using SmoothFunction =
    std::function<double(const std::vector<float>& point, std::vector<float>& gradient)>;

struct LbfgsSettings {
  int64_t iterations = 100;  ///< at most
  double tolerance = 1e-5;   ///< stop when no element of the gradient is larger
  int64_t history = 10;
};

struct LbfgsResult {
  double value = 0;
  double largest_gradient = 0;
  int64_t iterations = 0;
};

/// Moves `point` towards the minimum. Stops early where float32 allows no further decrease.
LbfgsResult minimize(const SmoothFunction& function, std::vector<float>& point,
                     const LbfgsSettings& settings);

}  // namespace cltrain
