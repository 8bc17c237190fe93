// The config of a run: read it, print it, compare it with an earlier one. What a config file may
// say is in compose.h (files, `defaults:`, overrides) and interpolate.h (`${...}`); the options
// themselves are declared by each room in its describe() (option_table.h).
//
// Called on every rank before MPI and torch do any work, single-threaded. Reads files and the
// environment, writes nothing. Errors: one ConfigError with all mistakes, one a line, each
//   file:line:column: key: what is wrong with which value; allowed: ...; nearest: ...
// in the order of the files, then of the command line.
#pragma once

#include "configs/compose.h"
#include "configs/mistakes.h"
#include "configs/option_table.h"

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace cltrain {

/// One option after loading.
struct ConfigValue {
  std::string name;
  std::string text;    ///< as Option::format writes it
  std::string origin;  ///< "configs/optim/lars.yaml:4:7", "command line" or "default"
};

struct ResolvedConfig {
  std::filesystem::path file;       ///< the main file as it was found
  std::string stem;                 ///< its name without folder and ".yaml"
  std::vector<ConfigValue> values;  ///< every option, in the order of the table
  int64_t stages = 0;               ///< that the main file lists
};

/// Composes, interpolates, and assigns to the fields behind `table`. Throws ConfigError; the fields
/// are then partly assigned and of no use.
ResolvedConfig load_config(const ConfigRequest& request, OptionTable& table);

/// All current values as nested YAML. load_config of this text sets exactly these values.
std::string resolved_yaml(const OptionTable& table);

/// Reads what resolved_yaml wrote, without a table: name -> text as Option::format writes it.
/// `source` names the text in a ConfigError.
std::map<std::string, std::string> parse_resolved(std::string_view text, const std::string& source);

/// `key: value   # origin`, a line an option; itself a valid config.
std::string resolved_with_origins(const ResolvedConfig& config);

/// The options whose name starts with `prefix`, by section: name, type, default, meaning, what is
/// allowed, unit. At most 100 columns wide.
std::string options_help(const OptionTable& table, std::string_view prefix = "");

/// One option that differs between a run and its continuation.
struct ConfigDifference {
  std::string name;
  std::string before;
  std::string after;
  bool safe = false;  ///< the option is marked safe_to_change
};

/// What differs between parse_resolved's values of an earlier run and the table's current ones, in
/// the order of the table. An option the earlier run did not know counts as its default; one that
/// exists no more comes last, not safe, with after = "(no such option)".
std::vector<ConfigDifference> compare(const std::map<std::string, std::string>& before,
                                      const OptionTable& now);

}  // namespace cltrain
