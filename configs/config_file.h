// What one config file says: the options it sets and the files it lists, checked against the table
// of options, not yet in order with other files. Called by compose(). Pure but for the mistakes it
// adds.
#pragma once

#include "configs/mistakes.h"
#include "configs/option_table.h"
#include "configs/yaml_source.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cltrain {

/// One value given to one declared option. The value is a scalar, a list of scalars, or null.
struct Assignment {
  std::string name;
  YamlNode value;
};

/// One item of a `defaults:` list.
struct DefaultsItem {
  Place place;
  bool is_self = false;                  ///< `_self_`: here go the file's own options
  std::string group = {};                ///< "data" of `- data: cifar100`; "" of `- other_config`
  std::optional<std::string> name = {};  ///< "cifar100"; nothing: `- data: null`
};

struct ConfigFile {
  std::vector<DefaultsItem> defaults;           ///< holds exactly one `_self_`
  std::vector<Assignment> own;                  ///< each option at most once
  std::vector<std::vector<Assignment>> stages;  ///< of a run in stages: what each sets besides
  Place stages_place = {};
};

/// Reads the text of a file; `start` is its first character. Nothing when the text is no map;
/// smaller mistakes are added and what is left is returned.
std::optional<ConfigFile> read_config(std::string_view text, const Place& start,
                                      const OptionTable& table, Mistakes& mistakes);

/// The assignments that `name` = `value` means: one, or those of all options in a map.
std::vector<Assignment> flatten(const std::string& name, const Place& name_place,
                                const YamlNode& value, const OptionTable& table,
                                Mistakes& mistakes);

}  // namespace cltrain
