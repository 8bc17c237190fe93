#include "monitoring/axis.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

namespace cltrain {
namespace {

/// `value` with the decimals that a step of `step` needs, and no zeros at the end.
std::string decimal(double value, double step) {
  const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  std::string result = text;
  if (result.find('.') != std::string::npos) {
    result.erase(result.find_last_not_of('0') + 1);
    if (result.back() == '.') result.pop_back();
  }
  return result == "-0" ? "0" : result;
}

}  // namespace

Axis make_axis(double low, double high, int wanted) {
  if (!std::isfinite(low) || !std::isfinite(high)) low = 0, high = 1;
  if (low > high) std::swap(low, high);
  // Nothing can be told apart in less.
  const double least = 1e-9 * std::max(std::abs(low), std::abs(high));
  if (high - low <= least) {
    const double room = low == 0 ? 1 : 0.1 * std::abs(low);
    low -= room;
    high += room;
  }
  const double rough = (high - low) / wanted;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  Axis axis{.low = low, .high = high};
  for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
    axis.step = factor * power;
    if (axis.step >= rough * (1 - 1e-9)) break;
  }
  const double first = std::ceil(low / axis.step - 1e-9);
  for (double i = first; i * axis.step <= high + 1e-9 * axis.step; ++i)
    axis.ticks.push_back(i == 0 ? 0 : i * axis.step);
  return axis;
}

std::string tick_label(double value, double step) {
  if (std::abs(value) < 1e-9 * step) return "0";
  const std::pair<double, const char*> units[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
  for (const auto& [unit, suffix] : units)
    if (std::abs(value) >= unit * (1 - 1e-9)) return decimal(value / unit, step / unit) + suffix;
  if (step >= 0.99e-4) return decimal(value, step);
  const double power = std::floor(std::log10(std::abs(value)) + 1e-9);
  const double unit = std::pow(10, power);
  return decimal(value / unit, step / unit) + "e" + std::to_string(static_cast<int>(power));
}

}  // namespace cltrain
