#include "configs/config.h"

#include "configs/interpolate.h"
#include "configs/nearest.h"
#include "configs/scalar_text.h"

namespace cltrain {
namespace {

// Assigns a value without `${...}` and words what is wrong with it.
void assign(Option& option, const YamlNode& value, Mistakes& mistakes) {
  std::string problem;
  if (value.is_list()) {
    std::vector<std::string> items;
    for (const YamlNode& item : value.items) items.push_back(item.text);
    problem = option.assign(items);
  } else if (value.is_scalar() || option.is_string()) {
    problem = option.assign(value.text);  // the text of null is ""
  } else {
    problem = "is no value";
  }
  if (problem.empty()) return;
  std::string what = problem + "; allowed: " + option.allowed();
  if (!value.is_list()) what = describe_for_message(value) + " " + what;
  const std::string nearest = nearest_word(value.text, option.spec().choices);
  if (!nearest.empty()) what += "; nearest: " + nearest;
  mistakes.add(value.place, option.name(), what);
}

void assign_all(const std::vector<Assignment>& assignments, OptionTable& table,
                std::map<std::string, std::string>& origins, Mistakes& mistakes) {
  std::map<std::string, const YamlNode*> last;
  for (const Assignment& assignment : assignments) last[assignment.name] = &assignment.value;
  Interpolator interpolator(table, last, mistakes);
  for (const Assignment& assignment : assignments) {
    Option& option = *table.find(assignment.name);
    if (last[assignment.name] == &assignment.value) {
      const std::optional<YamlNode>& value = interpolator.value(assignment.name);
      if (value) assign(option, *value, mistakes);
      origins[assignment.name] = assignment.value.place.text();
    } else if (!may_interpolate(assignment.value)) {
      // Overridden later, but a wrong value in a file is a mistake all the same. What it refers to
      // does not matter any more: `${env:X}` may be unset when the command line says otherwise.
      assign(option, assignment.value, mistakes);
    }
  }
}

}  // namespace

ResolvedConfig load_config(const ConfigRequest& request, OptionTable& table) {
  Mistakes mistakes;
  const Composition composition = compose(request, table, mistakes);
  std::map<std::string, std::string> origins;
  assign_all(composition.assignments, table, origins, mistakes);
  mistakes.throw_if_any();

  ResolvedConfig config{composition.file, composition.file.stem().string(), {}, composition.stages};
  for (const Option& option : table.options()) {
    const auto origin = origins.find(option.name());
    config.values.push_back(
        {option.name(), option.format(), origin == origins.end() ? "default" : origin->second});
  }
  return config;
}

std::vector<ConfigDifference> compare(const std::map<std::string, std::string>& before,
                                      const OptionTable& now) {
  std::vector<ConfigDifference> differences;
  for (const Option& option : now.options()) {
    const auto recorded = before.find(option.name());
    const std::string& was = recorded == before.end() ? option.default_text() : recorded->second;
    const std::string is = option.format();
    if (was != is) {
      differences.push_back({option.name(), was, is, option.spec().safe_to_change});
    }
  }
  for (const auto& [name, text] : before) {
    if (!now.find(name)) differences.push_back({name, text, "(no such option)", false});
  }
  return differences;
}

}  // namespace cltrain
