#include "models/backbone/yaml_options.h"

#include "configs/nearest.h"
#include "configs/scalar_text.h"

#include <algorithm>

namespace cltrain {
namespace {

void assign(Option& option, const YamlNode& value, const std::string& what, Mistakes& mistakes) {
  std::string problem;
  if (value.is_list()) {
    std::vector<std::string> items;
    for (const YamlNode& item : value.items) items.push_back(item.text);
    problem = option.assign(items);
  } else {
    problem = value.is_scalar() ? option.assign(value.text) : "is no value";
  }
  if (problem.empty()) return;
  const std::string nearest = nearest_word(value.text, option.spec().choices);
  mistakes.add(value.place, option.name(),
               describe_for_message(value) + " " + problem + "; allowed in " + what + ": " +
                   option.allowed() + (nearest.empty() ? "" : "; nearest: " + nearest));
}

}  // namespace

const YamlNode* entry_of(const YamlNode& map, std::string_view key) {
  for (const YamlEntry& entry : map.entries)
    if (entry.key == key) return &entry.value;
  return nullptr;
}

bool check_keys(const YamlNode& map, const std::string& what,
                const std::vector<std::string>& allowed, Mistakes& mistakes) {
  if (!map.is_map() && !map.is_null()) {
    mistakes.add(map.place, "",
                 describe_for_message(map) + " where the options of " + what +
                     " belong; write {KEY: VALUE, ...}");
    return false;
  }
  for (const YamlEntry& entry : map.entries) {
    if (std::ranges::find(allowed, entry.key) != allowed.end()) continue;
    const std::string nearest = nearest_word(entry.key, allowed);
    mistakes.add(entry.place, entry.key,
                 "no such key in " + what + "; allowed: " + join(allowed) +
                     (nearest.empty() ? "" : "; nearest: " + nearest));
  }
  return true;
}

void read_options(const YamlNode& map, const std::string& what, OptionTable& table,
                  const std::vector<std::string>& required, Mistakes& mistakes) {
  std::vector<std::string> names;
  for (const Option& option : table.options()) names.push_back(option.name());
  if (!check_keys(map, what, names, mistakes)) return;
  for (const YamlEntry& entry : map.entries)
    if (Option* option = table.find(entry.key)) assign(*option, entry.value, what, mistakes);
  for (const std::string& name : required)
    if (entry_of(map, name) == nullptr)
      mistakes.add(
          map.place, name,
          "is missing in " + what + "; write " + name + ": " + table.find(name)->allowed());
}

}  // namespace cltrain
