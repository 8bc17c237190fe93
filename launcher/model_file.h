// The file that describes a click-through model (models/backbone/model_file.h), as a run has it: a
// run keeps a copy, model.yaml in its folder, so that it can be opened again from there and is not
// continued with another network.
#pragma once

#include "launcher/options.h"

#include <filesystem>

namespace cltrain {

/// Where easyrec.model is: as given, or in the folders of configs. Throws ConfigError with the
/// places looked at.
std::filesystem::path find_model_file(const std::string& name);

/// The method's options with easyrec.model found; `run`, if not empty, is a run's folder, whose
/// copy goes first. Other methods' options are returned as they are. Throws ConfigError.
MethodOptions with_model_file(const MethodOptions& options, const std::filesystem::path& run = {});

/// On rank 0, of a run that begins or goes on: keeps the copy. Throws ConfigError where there is
/// one that differs.
void keep_model_file(const MethodOptions& found, const std::filesystem::path& run);

}  // namespace cltrain
