#include "configs/config_file.h"

#include "configs/scalar_text.h"

#include <algorithm>
#include <map>

namespace cltrain {
namespace {

// Collects the assignments that a map makes, section by section.
class Flattener {
 public:
  Flattener(const OptionTable& table, Mistakes& mistakes) : table_(table), mistakes_(mistakes) {}

  void add_map(const YamlNode& map, const std::string& section) {
    for (const YamlEntry& entry : map.entries) {
      add(section.empty() ? entry.key : section + "." + entry.key, entry.place, entry.value);
    }
  }

  void add(const std::string& name, const Place& key_place, const YamlNode& value) {
    if (table_.find(name)) {
      add_option(name, key_place, value);
    } else if (value.is_map()) {
      // Unknown sections are descended as well, so that each leaf gets its own nearest option.
      if (value.entries.empty() && !table_.is_section(name)) unknown(name, key_place, value);
      add_map(value, name);
    } else if (!table_.is_section(name)) {
      unknown(name, key_place, value);
    } else if (!value.is_null()) {  // a section whose lines are all comments is null
      mistakes_.add(value.place, name,
                    "is a section, not an option: " + describe_for_message(value) +
                        " cannot be its value; set its options, such as " + table_.nearest(name));
    }
  }

  std::vector<Assignment> take() { return std::move(assignments_); }

 private:
  void add_option(const std::string& name, const Place& key_place, const YamlNode& value) {
    const auto [first, is_new] = places_.emplace(name, key_place);
    if (!is_new) {
      mistakes_.add(key_place, name,
                    "is written twice, first at " + first->second.text() + "; remove one");
      return;
    }
    const std::string allowed = "; allowed: " + table_.find(name)->allowed();
    if (value.is_map()) {
      mistakes_.add(value.place, name, "is an option, not a section: received a map" + allowed);
      return;
    }
    for (size_t i = 0; i < value.items.size(); ++i) {
      if (value.items[i].is_scalar()) continue;
      mistakes_.add(value.items[i].place, name,
                    "has item " + std::to_string(i + 1) + ", which is " +
                        describe_for_message(value.items[i]) + ", not a single value" + allowed);
      return;
    }
    assignments_.push_back({name, value});
  }

  void unknown(const std::string& name, const Place& place, const YamlNode& value) {
    const std::string nearest = table_.nearest(name);
    mistakes_.add(place, name,
                  "there is no such option (received " + describe_for_message(value) + ")" +
                      (nearest.empty() ? "; --help lists all" : "; nearest: " + nearest));
  }

  const OptionTable& table_;
  Mistakes& mistakes_;
  std::map<std::string, Place> places_;
  std::vector<Assignment> assignments_;
};

std::optional<DefaultsItem> read_defaults_item(const YamlNode& node, Mistakes& mistakes) {
  DefaultsItem item;
  item.place = node.place;
  if (node.is_scalar()) {
    const size_t slash = node.text.rfind('/');
    item.is_self = node.text == "_self_";
    item.group = slash == std::string::npos ? "" : node.text.substr(0, slash);
    item.name = slash == std::string::npos ? node.text : node.text.substr(slash + 1);
    return item;
  }
  if (node.is_map() && node.entries.size() == 1) {
    const YamlEntry& entry = node.entries[0];
    item.group = entry.key;
    item.place = entry.value.place;
    if (entry.value.is_scalar()) item.name = entry.value.text;
    if (entry.value.is_scalar() || entry.value.is_null()) return item;
  }
  mistakes.add(node.place, "defaults",
               "received " + describe_for_message(node) +
                   "; allowed: items such as `- data: cifar100`, `- other_config`, `- _self_`");
  return std::nullopt;
}

std::vector<DefaultsItem> read_defaults(const YamlNode& node, Mistakes& mistakes) {
  std::vector<DefaultsItem> defaults;
  bool has_self = false;
  if (!node.is_list() && !node.is_null()) {
    mistakes.add(node.place, "defaults",
                 "received " + describe_for_message(node) + "; allowed: a list");
  }
  for (const YamlNode& item_node : node.items) {
    std::optional<DefaultsItem> item = read_defaults_item(item_node, mistakes);
    if (!item) continue;
    if (item->is_self && has_self) {
      mistakes.add(item->place, "defaults", "names _self_ twice; remove one");
      continue;
    }
    has_self = has_self || item->is_self;
    defaults.push_back(std::move(*item));
  }
  if (!has_self) defaults.push_back({node.place, true});
  return defaults;
}

std::vector<std::vector<Assignment>> read_stages(const YamlNode& node, const OptionTable& table,
                                                 Mistakes& mistakes) {
  std::vector<std::vector<Assignment>> stages;
  if (!node.is_list() || node.items.size() < 2)
    mistakes.add(node.place, "stages",
                 "received " + describe_for_message(node) +
                     "; allowed: a list of two or more maps of options, one a stage");
  for (const YamlNode& item : node.items) {
    if (!item.is_map() && !item.is_null())
      mistakes.add(item.place, "stages",
                   "received " + describe_for_message(item) +
                       "; allowed: items that are maps of options, such as `- train.epochs: 10`, "
                       "or {} where a stage sets nothing of its own");
    Flattener flattener(table, mistakes);
    flattener.add_map(item, "");
    stages.push_back(flattener.take());
  }
  return stages;
}

}  // namespace

std::optional<ConfigFile> read_config(std::string_view text, const Place& start,
                                      const OptionTable& table, Mistakes& mistakes) {
  std::optional<YamlNode> root = parse_yaml(text, start, "", mistakes);
  if (!root) return std::nullopt;
  if (!root->is_map() && !root->is_null()) {
    mistakes.add(root->place, "",
                 "the file is " + describe_for_message(*root) +
                     "; allowed: a map of `key: value` lines (mind the space after the colon)");
    return std::nullopt;
  }
  ConfigFile file;
  const auto defaults =
      std::find_if(root->entries.begin(), root->entries.end(),
                   [](const YamlEntry& entry) { return entry.key == "defaults"; });
  if (defaults == root->entries.end()) {
    file.defaults.push_back({start, true});
  } else {
    file.defaults = read_defaults(defaults->value, mistakes);
    root->entries.erase(defaults);
  }
  const auto stages = std::find_if(root->entries.begin(), root->entries.end(),
                                   [](const YamlEntry& entry) { return entry.key == "stages"; });
  if (stages != root->entries.end()) {
    file.stages = read_stages(stages->value, table, mistakes);
    file.stages_place = stages->place;
    root->entries.erase(stages);
  }
  Flattener flattener(table, mistakes);
  flattener.add_map(*root, "");
  file.own = flattener.take();
  return file;
}

std::vector<Assignment> flatten(const std::string& name, const Place& name_place,
                                const YamlNode& value, const OptionTable& table,
                                Mistakes& mistakes) {
  Flattener flattener(table, mistakes);
  flattener.add(name, name_place, value);
  return flattener.take();
}

}  // namespace cltrain
