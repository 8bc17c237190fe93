// Options of the room dist/: where the ranks compute and how long they wait for each other.
#pragma once

#include "configs/option_table.h"

#include <string>

namespace cltrain {

struct DistOptions {
  std::string device = "auto";
  double timeout = 600;
};

void describe(OptionTable& table, DistOptions& options);

}  // namespace cltrain
