// Maps of a model file as option tables, so that a misspelt key is found as in a config. Pure.
#pragma once

#include "configs/mistakes.h"
#include "configs/option_table.h"
#include "configs/yaml_node.h"

#include <string>
#include <vector>

namespace cltrain {

/// Assigns the entries of `map` (null: none) to the fields behind `table`. Adds a mistake for every
/// key that is not there, with the nearest one, every wrong value, and each of `required` that is
/// missing; `what` is whose options they are: "BST".
void read_options(const YamlNode& map, const std::string& what, OptionTable& table,
                  const std::vector<std::string>& required, Mistakes& mistakes);

/// The entry of a map, or nullptr.
const YamlNode* entry_of(const YamlNode& map, std::string_view key);

/// A mistake for each key of `map` that is not `allowed`; and where it is no map at all, then
/// false.
bool check_keys(const YamlNode& map, const std::string& what,
                const std::vector<std::string>& allowed, Mistakes& mistakes);

}  // namespace cltrain
