// One training session, from opened ranks to an exit code: the story of main.cpp's second half.
#pragma once

#include "configs/config.h"
#include "configs/option_table.h"
#include "dist/world.h"
#include "launcher/options.h"

namespace cltrain {

/// Collective. Opens the data, the method and the run directory, continues from the newest
/// checkpoint if there is one, trains, evaluates, reports. Returns the exit code; errors are
/// exceptions (launcher/errors.h).
int train(const Options& options, const OptionTable& table, const ResolvedConfig& config,
          const World& world);

}  // namespace cltrain
