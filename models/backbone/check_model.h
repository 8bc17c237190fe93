// What a model file refers to: whether it is there, and whether blocks wait for themselves.
// Called by parse_model. Pure.
#pragma once

#include "models/backbone/model_file.h"

namespace cltrain {

/// Resolves package_input of all inputs, fills outputs where there is no concat_blocks, and adds
/// the mistakes: names that are not there or there twice, placeholders outside of packages, cycles,
/// blocks that nothing uses.
void check_references(ModelFile& model, Mistakes& mistakes);

}  // namespace cltrain
