// What the CPU and the CUDA form of the loss engine (ops/lse.h) have in common: numbers to base 2,
// and the words of a mask. Free of torch.
#pragma once

#include <numbers>

namespace cltrain {

/// Which labels of candidates a row sees.
enum class LseLabels { kIgnored, kOnlyEqual, kNeverEqual };

/// Of a pair that is not allowed: its exponential is 0 at any scale below 1e7.
inline constexpr float kMaskedProduct = -1e30F;
/// The LSE, to base 2, of what passes no gradient: every exponential below it vanishes.
inline constexpr double kNeverLse = 1e30;
/// One exponential serves rows and columns while e^-80 is still a normal float: base 2.
inline constexpr double kSharedRange = 80 * std::numbers::log2e;

/// scale * log2(e), split to twice the precision of Real.
template <class Real>
struct Base2Scale {
  explicit Base2Scale(double scale)
      : high(static_cast<Real>(scale * std::numbers::log2e)),
        low(static_cast<Real>(scale * std::numbers::log2e - high)) {}
  Real high, low;
};

}  // namespace cltrain
