// Command line of bench/ntxent, and the grid of cases that it asks for. Free of torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cltrain::ntxent {

struct Case {
  int64_t images = 0;  ///< of the global batch; twice as many rows
  int64_t width = 0;
  std::string type;  ///< "float32" or "bfloat16"
  std::vector<int> ranks;

  double rows() const { return 2.0 * static_cast<double>(images); }
  /// Operations forward and backward when no product is made twice but the recomputed one.
  double operations() const { return 4 * rows() * rows() * static_cast<double>(width); }
};

struct Options {
  bool help = false;
  std::vector<Case> grid;
  int repeats = 3;
  std::string json;    ///< a file, "-" for standard output, or empty
  std::string plot;    ///< a PNG file, or empty
  std::string worker;  ///< a method: this process is one of its ranks, and the grid is one case
};

/// Throws std::invalid_argument, which says what is allowed.
Options parse_options(const std::vector<std::string>& words);

std::string help_text();

}  // namespace cltrain::ntxent
