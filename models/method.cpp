#include "models/method.h"

namespace cltrain {

ParameterGroup parameters_of(
    const std::string& group,
    const std::vector<std::pair<std::string, const torch::nn::Module*>>& modules) {
  ParameterGroup found{group, {}};
  for (const auto& [name, module] : modules)
    for (const auto& item : module->named_parameters())
      found.parameters.emplace_back(name + "." + item.key(), item.value());
  return found;
}

std::vector<Phase> Method::plan(int64_t, int64_t) const {
  return {{"contrast", {"all"}}};
}

}  // namespace cltrain
