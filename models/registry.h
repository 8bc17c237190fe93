// What exists: one table of methods and one of encoders, with a factory each. Explicit lists, so
// that reading this file answers "what can cltrain train?".
#pragma once

#include "dist/contrast.h"
#include "models/method.h"
#include "models/options.h"

#include <memory>
#include <string>
#include <vector>

namespace cltrain {

struct RegistryLine {
  std::string name, description;
};

std::vector<RegistryLine> method_table();
std::vector<RegistryLine> model_table();
std::vector<std::string> names_of(const std::vector<RegistryLine>& table);

/// The options loss.* as dist/contrast.h takes them.
ContrastSettings contrast_settings(const LossOptions& options);

/// Builds the method on the CPU in float32 with keyed initial weights. `communicator` serves sync
/// batch norm and must outlive the method. Names were checked by the option table.
std::shared_ptr<Method> make_method(const MethodOptions& options, uint64_t seed,
                                    const Communicator& communicator);

}  // namespace cltrain
