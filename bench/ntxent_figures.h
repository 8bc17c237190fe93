// What bench/ntxent found out about a method in a case, and how it is shown.
#pragma once

#include "bench/ntxent_options.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace cltrain::ntxent {

struct Figure {
  std::string method;  ///< "cltrain", "cltrain-ring", "dense", "tiles", "lightly", "solo-learn"
  int ranks = 1;
  std::vector<nlohmann::json> rounds;  ///< the workers' lines
  std::string why_not;                 ///< why there are no rounds
};

/// Medians over rounds of the machine's two speeds.
struct Floor {
  double products_per_second = 0, exponentials_per_second = 0;
};

struct CaseFigures {
  Case one;
  std::vector<Figure> figures;
  std::vector<nlohmann::json> floor_rounds;

  /// The median of a number over the rounds; nothing where there are none or it was not found.
  static std::optional<double> median(const std::vector<nlohmann::json>& rounds, const char* name);
  /// Milliseconds of a method at so many ranks, else at one.
  std::optional<double> milliseconds(const std::string& method, int ranks) const;
  std::optional<double> floor_milliseconds() const;
};

void print_head(std::ostream& out);
void print_table(std::ostream& out, const CaseFigures& found);
/// A JSON line a method, and one for the floor.
void print_json(std::ostream& out, const CaseFigures& found);

/// What differs from the dense formula by more than rounding, a line each; empty: nothing.
std::vector<std::string> differences(const CaseFigures& found);

}  // namespace cltrain::ntxent
