#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cltrain {

double peak_learning_rate(const OptimOptions& options, int64_t global_batch) {
  const auto batch = static_cast<double>(global_batch);
  if (options.scaling == "linear") return options.lr * batch / 256;
  if (options.scaling == "sqrt") return options.lr * std::sqrt(batch);
  return options.lr;
}

int64_t total_steps(const LengthOptions& options, int64_t steps_per_epoch) {
  return options.steps > 0 ? options.steps : options.epochs * steps_per_epoch;
}

double learning_rate(const OptimOptions& options, double peak, int64_t step, int64_t total,
                     int64_t steps_per_epoch) {
  const auto warmup = std::llround(options.warmup_epochs * static_cast<double>(steps_per_epoch));
  if (step < warmup) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
  if (options.schedule == "constant") return peak;
  if (options.schedule == "step") {
    const double epoch = static_cast<double>(step) / static_cast<double>(steps_per_epoch);
    const auto passed = std::count_if(options.milestones.begin(), options.milestones.end(),
                                      [epoch](double milestone) { return epoch >= milestone; });
    return peak * std::pow(options.step_factor, static_cast<double>(passed));
  }
  const auto rest = static_cast<double>(std::max<int64_t>(1, total - warmup));
  const double share = std::min(1.0, static_cast<double>(step - warmup) / rest);
  return peak * (1 + std::cos(std::numbers::pi * share)) / 2;
}

}  // namespace cltrain
