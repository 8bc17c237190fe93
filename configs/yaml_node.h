// A YAML value as a plain tree that remembers where each key and value was written. A value type
// without tie to a YAML library; made by parse_yaml (yaml_source.h).
#pragma once

#include "configs/mistakes.h"

#include <string>
#include <vector>

namespace cltrain {

struct YamlEntry;

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  Place place;
  std::string text;                ///< of a scalar, unquoted
  bool quoted = false;             ///< of a scalar: it stood in quotes (or was a block of text)
  std::vector<YamlNode> items;     ///< of a list
  std::vector<YamlEntry> entries;  ///< of a map, as written; keys are unique

  bool is_null() const { return kind == Kind::kNull; }
  bool is_scalar() const { return kind == Kind::kScalar; }
  bool is_list() const { return kind == Kind::kList; }
  bool is_map() const { return kind == Kind::kMap; }
};

struct YamlEntry {
  std::string key;
  Place place;  ///< of the key
  YamlNode value;
};

/// The node as YAML flow text on one line: equal to Option::format's text when that was parsed.
std::string write_flow(const YamlNode& node);

/// The node for messages: a cut, quoted scalar, "null", "a list", "a map".
std::string describe_for_message(const YamlNode& node);

}  // namespace cltrain
