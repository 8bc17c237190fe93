#include "bench/ntxent_figures.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

namespace cltrain::ntxent {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
// Relative. The peers round logits and losses themselves to bfloat16, whose step is 1/256.
constexpr double kFloatTolerance = 1e-3, kBfloat16Tolerance = 5e-2;

using Maybe = std::optional<double>;

std::string with_digits(const Maybe& value, int digits) {
  if (!value) return "-";
  std::ostringstream text;
  text << std::fixed << std::setprecision(digits) << *value;
  return text.str();
}

/// As many decimals as make three digits, none beyond 100.
std::string short_number(const Maybe& value) {
  if (!value) return "-";
  return with_digits(value, *value >= 100 ? 0 : *value >= 10 ? 1 : 2);
}

Maybe ratio(const Maybe& above, const Maybe& below) {
  if (!above || !below || *below <= 0) return std::nullopt;
  return *above / *below;
}

std::string case_text(const Case& one) {
  std::ostringstream text;
  text << "N=" << one.images << " D=" << one.width << " " << one.type;
  return text.str();
}

void print_row(std::ostream& out, const std::string& left, const std::string& method,
               const std::vector<std::string>& cells) {
  out << std::left << std::setw(24) << left << std::setw(22) << method << std::right;
  for (const std::string& cell : cells) out << std::setw(11) << cell;
  out << "\n";
}

std::string method_text(const Figure& figure) {
  if (figure.ranks == 1) return figure.method;
  return figure.method + " R=" + std::to_string(figure.ranks);
}

/// Everything the table shows of a method.
struct Row {
  Maybe milliseconds, over_lightly, over_dense, gflops, extra_mib, of_floor;
};

Row row_of(const CaseFigures& found, const Figure& figure) {
  Row row;
  row.milliseconds = CaseFigures::median(figure.rounds, "milliseconds");
  if (!row.milliseconds) return row;
  row.over_lightly = ratio(found.milliseconds("lightly", 1), row.milliseconds);
  row.over_dense = ratio(found.milliseconds("dense", figure.ranks), row.milliseconds);
  row.gflops = found.one.operations() / (1e6 * *row.milliseconds);
  if (const Maybe extra = CaseFigures::median(figure.rounds, "extra_bytes"))
    row.extra_mib = *extra / kMiB;
  // More ranks than one share the same cores, but their floor has exchanges too: not told.
  if (figure.ranks == 1) row.of_floor = ratio(row.milliseconds, found.floor_milliseconds());
  return row;
}

nlohmann::json or_null(const Maybe& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

nlohmann::json case_json(const Case& one) {
  return {{"images", one.images}, {"dim", one.width}, {"dtype", one.type}};
}

}  // namespace

Maybe CaseFigures::median(const std::vector<nlohmann::json>& rounds, const char* name) {
  std::vector<double> values;
  for (const nlohmann::json& round : rounds)
    if (const auto found = round.find(name); found != round.end() && found->is_number())
      values.push_back(found->get<double>());
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Maybe CaseFigures::milliseconds(const std::string& method, int ranks) const {
  Maybe at_one;
  for (const Figure& figure : figures) {
    if (figure.method != method) continue;
    if (figure.ranks == ranks && !figure.rounds.empty())
      return median(figure.rounds, "milliseconds");
    if (figure.ranks == 1) at_one = median(figure.rounds, "milliseconds");
  }
  return at_one;
}

Maybe CaseFigures::floor_milliseconds() const {
  const Maybe products = median(floor_rounds, "products_per_second");
  const Maybe exponentials = median(floor_rounds, "exponentials_per_second");
  if (!products || !exponentials) return std::nullopt;
  return 1e3 * (one.operations() / *products + one.rows() * one.rows() / *exponentials);
}

void print_head(std::ostream& out) {
  print_row(out, "case", "method",
            {"ms", "x lightly", "x dense", "GFLOP/s", "extra MiB", "x floor"});
}

void print_table(std::ostream& out, const CaseFigures& found) {
  std::string left = case_text(found.one);
  for (const Figure& figure : found.figures) {
    if (!figure.why_not.empty()) {
      print_row(out, left, method_text(figure), {"   " + figure.why_not});
    } else {
      const Row row = row_of(found, figure);
      print_row(out, left, method_text(figure),
                {short_number(row.milliseconds), short_number(row.over_lightly),
                 short_number(row.over_dense), short_number(row.gflops),
                 short_number(row.extra_mib), short_number(row.of_floor)});
    }
    left.clear();
  }
  if (const Maybe floor = found.floor_milliseconds())
    print_row(out, left, "floor",
              {short_number(floor), "", "", short_number(found.one.operations() / (1e6 * *floor)),
               "", short_number(1.0)});
  out << std::flush;
}

void print_json(std::ostream& out, const CaseFigures& found) {
  for (const Figure& figure : found.figures) {
    nlohmann::json line = case_json(found.one);
    line.update({{"method", figure.method}, {"ranks", figure.ranks}});
    if (!figure.why_not.empty()) {
      line["not_run"] = figure.why_not;
    } else {
      const Row row = row_of(found, figure);
      std::vector<double> each;
      for (const nlohmann::json& round : figure.rounds)
        each.push_back(round.at("milliseconds").get<double>());
      line.update({{"milliseconds", or_null(row.milliseconds)},
                   {"milliseconds_of_rounds", each},
                   {"times_lightly", or_null(row.over_lightly)},
                   {"times_dense", or_null(row.over_dense)},
                   {"gflops", or_null(row.gflops)},
                   {"extra_mib", or_null(row.extra_mib)},
                   {"times_floor", or_null(row.of_floor)}});
      for (const char* name : {"loss", "temperature_gradient", "gradient_norm"})
        line[name] = or_null(CaseFigures::median(figure.rounds, name));
    }
    out << line.dump() << "\n";
  }
  if (const Maybe floor = found.floor_milliseconds()) {
    nlohmann::json line = case_json(found.one);
    line.update({{"method", "floor"},
                 {"ranks", 1},
                 {"milliseconds", *floor},
                 {"gflops", found.one.operations() / (1e6 * *floor)}});
    for (const char* name : {"products_per_second", "exponentials_per_second"})
      line[name] = or_null(CaseFigures::median(found.floor_rounds, name));
    out << line.dump() << "\n";
  }
  out << std::flush;
}

std::vector<std::string> differences(const CaseFigures& found) {
  const auto measured = [](const Figure& figure) { return !figure.rounds.empty(); };
  auto reference = std::find_if(
      found.figures.begin(), found.figures.end(),
      [&](const Figure& figure) { return measured(figure) && figure.method == "dense"; });
  if (reference == found.figures.end())
    reference = std::find_if(found.figures.begin(), found.figures.end(), measured);
  std::vector<std::string> lines;
  if (reference == found.figures.end()) return lines;
  const double allowed = found.one.type == "bfloat16" ? kBfloat16Tolerance : kFloatTolerance;
  for (const Figure& figure : found.figures)
    for (const char* name : {"loss", "temperature_gradient", "gradient_norm"}) {
      const Maybe expected = CaseFigures::median(reference->rounds, name);
      const Maybe value = CaseFigures::median(figure.rounds, name);
      if (!expected || figure.rounds.empty()) continue;
      // A NaN or a missing value is a difference too.
      if (value && std::abs(*value - *expected) <= allowed * std::abs(*expected)) continue;
      std::ostringstream line;
      line << case_text(found.one) << ", " << method_text(figure) << ": " << name << " is "
           << (value ? std::to_string(*value) : "not a number") << ", of "
           << method_text(*reference) << " " << *expected
           << "; allowed is a relative difference of " << allowed;
      lines.push_back(line.str());
    }
  return lines;
}

}  // namespace cltrain::ntxent
