// The half of bench/ntxent that starts everything: for each case the methods take turns, round
// after round, each in a fresh process; then a table and, if wanted, JSON lines and a plot.
#pragma once

#include "bench/ntxent_options.h"

#include <string>

namespace cltrain::ntxent {

/// `program` is this program's file, started again as worker. Returns the exit code.
int run_driver(const Options& options, const std::string& program);

}  // namespace cltrain::ntxent
