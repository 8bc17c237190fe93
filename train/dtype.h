// run.dtype as a type of tensors.
#pragma once

#include "train/options.h"

#include <c10/core/ScalarType.h>

namespace cltrain {

inline at::ScalarType scalar_type_of(const RunOptions& options) {
  return options.dtype == "float64" ? at::kDouble : at::kFloat;
}

}  // namespace cltrain
