// `${...}` in the values of a config:
//   ${train.steps}        the value of another option as it was written, or its default
//   ${env:HOME}           an environment variable; its text is a value as it is, not YAML
//   ${env:SCRATCH,/tmp}   ... or what follows the comma where it is unset; may hold ${...} itself
//   $${                   a literal ${
// A value that is nothing but one `${option}` may be a list; inside other text it must be a scalar.
// Called by load_config, once a load; reads the environment.
#pragma once

#include "configs/config_file.h"
#include "configs/mistakes.h"
#include "configs/option_table.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cltrain {

class Interpolator {
 public:
  /// `values`: what counts for each option that is set at all. All three must outlive this.
  Interpolator(const OptionTable& table, const std::map<std::string, const YamlNode*>& values,
               Mistakes& mistakes);

  /// The value of a declared option with every `${...}` replaced; its place is where it was
  /// written. Nothing, and a mistake where that value was written, for cycles, unknown options,
  /// unset variables without a default, broken syntax.
  const std::optional<YamlNode>& value(const std::string& name);

 private:
  std::optional<YamlNode> expand(const YamlNode& node);
  std::optional<std::string> expand_text(std::string_view text, size_t depth);
  std::optional<std::string> expand_reference(std::string_view reference, size_t depth);
  std::optional<std::string> environment(std::string_view reference, size_t depth);
  const YamlNode* option(std::string_view name);
  void mistake(const std::string& what);

  const OptionTable& table_;
  const std::map<std::string, const YamlNode*>& values_;
  Mistakes& mistakes_;
  std::map<std::string, std::optional<YamlNode>> done_;
  /// The options being resolved, outermost first; mistakes are reported at the last one.
  struct Active {
    std::string name;
    Place place;
  };
  std::vector<Active> active_;
};

/// True if the node holds a `${` at all, escaped or not.
bool may_interpolate(const YamlNode& node);

}  // namespace cltrain
