#include "eval/lbfgs.h"

#include <algorithm>
#include <cmath>
#include <deque>

namespace cltrain {
namespace {

using Values = std::vector<float>;

double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

double largest(const Values& a) {
  double result = 0;
  for (const float value : a) result = std::max(result, std::abs(static_cast<double>(value)));
  return result;
}

void add_scaled(Values& a, double factor, const Values& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += static_cast<float>(factor * b[i]);
}

// A step and the change of the gradient over it.
struct Pair {
  Values step, change;
  double product;  // of the two; > 0
};

// Minus the inverse Hessian, as the pairs know it, times the gradient.
Values direction(const std::deque<Pair>& pairs, const Values& gradient) {
  Values result(gradient.size());
  std::transform(gradient.begin(), gradient.end(), result.begin(), [](float g) { return -g; });
  std::vector<double> factor(pairs.size());
  for (size_t i = pairs.size(); i-- > 0;) {
    factor[i] = dot(pairs[i].step, result) / pairs[i].product;
    add_scaled(result, -factor[i], pairs[i].change);
  }
  if (!pairs.empty()) {
    const Pair& last = pairs.back();
    const double scale = last.product / dot(last.change, last.change);
    for (float& value : result) value = static_cast<float>(value * scale);
  }
  for (size_t i = 0; i < pairs.size(); ++i)
    add_scaled(result, factor[i] - dot(pairs[i].change, result) / pairs[i].product, pairs[i].step);
  return result;
}

}  // namespace

LbfgsResult minimize(const SmoothFunction& function, std::vector<float>& point,
                     const LbfgsSettings& settings) {
  Values gradient(point.size()), trial, trial_gradient(point.size());
  LbfgsResult result{.value = function(point, gradient)};
  std::deque<Pair> pairs;
  for (; result.iterations < settings.iterations; ++result.iterations) {
    result.largest_gradient = largest(gradient);
    if (!(result.largest_gradient > settings.tolerance)) break;
    Values way = direction(pairs, gradient);
    double slope = dot(way, gradient);
    if (!(slope < 0)) {  // the pairs misled: begin again with the steepest descent
      pairs.clear();
      way = direction(pairs, gradient);
      slope = dot(way, gradient);
    }
    double length = pairs.empty() ? 1.0 / std::max(1.0, std::sqrt(-slope)) : 1.0;
    double value = 0;
    bool lower = false;
    for (int halving = 0; halving < 30 && !lower; ++halving, length *= lower ? 1 : 0.5) {
      trial = point;
      add_scaled(trial, length, way);
      value = function(trial, trial_gradient);
      lower = value <= result.value + 1e-4 * length * slope;
    }
    if (!lower) break;
    Pair pair{trial, trial_gradient, 0};
    add_scaled(pair.step, -1, point);
    add_scaled(pair.change, -1, gradient);
    pair.product = dot(pair.step, pair.change);
    if (pair.product > 1e-10 * dot(pair.change, pair.change)) pairs.push_back(std::move(pair));
    if (static_cast<int64_t>(pairs.size()) > settings.history) pairs.pop_front();
    std::swap(point, trial);
    std::swap(gradient, trial_gradient);
    result.value = value;
  }
  result.largest_gradient = largest(gradient);
  return result;
}

}  // namespace cltrain
