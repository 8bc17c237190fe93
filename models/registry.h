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

/// What methods train on and encoders take.
enum class InputKind { kImages, kClips, kEither, kSequences, kClicks };

struct RegistryLine {
  std::string name, description;
  InputKind input = InputKind::kImages;
  int64_t views = 2;  ///< of methods: that a sample of a batch has
};

std::vector<RegistryLine> method_table();
std::vector<RegistryLine> model_table();
/// That of one method. Throws c10::Error for a name that is not in the table.
RegistryLine method_line(const std::string& name);
std::vector<std::string> names_of(const std::vector<RegistryLine>& table);

/// The options loss.* as dist/contrast.h takes them.
ContrastSettings contrast_settings(const LossOptions& options);

/// What one range cannot say: an encoder for another kind of input than the method, or the data,
/// has, or whose settings do not fit `input`. One sentence a mistake; empty when all is well.
std::vector<std::string> problems(const MethodOptions& options, const InputShape& input);

/// Builds the method on the CPU in float32 with keyed initial weights. `communicator` serves sync
/// batch norm and must outlive the method. Names were checked by the option table.
std::shared_ptr<Method> make_method(const MethodOptions& options, uint64_t seed,
                                    const Communicator& communicator, const InputShape& input = {});

}  // namespace cltrain
