// From YAML text to a tree with positions.
//
// The parser stands on yaml-cpp's event parser rather than on YAML::Node, because Node hides what a
// config must refuse: it keeps one of two equal keys, follows an alias that points to its own
// parent for ever, does not apply `<<`, and loses positions when maps are merged. Here those, tags,
// several documents and deep nesting are mistakes with a position. Ordinary anchors and aliases
// work.
//
// Pure functions; any text, garbage included, gives a tree or mistakes, never a crash. Bounds: 256
// KiB of text, 32 levels, 1 MiB after aliases are expanded.
#pragma once

#include "configs/mistakes.h"
#include "configs/yaml_node.h"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace cltrain {

/// Parses `text`. `origin` names the source; where it has a column (a file) positions are counted
/// from its start, else (command line, default) every node has `origin` itself as its place. `key`
/// goes before messages (the option an argument sets; empty for files). Nothing when the text is no
/// YAML; smaller mistakes are added and what is left is returned. An empty text is null.
std::optional<YamlNode> parse_yaml(std::string_view text, const Place& origin, std::string_view key,
                                   Mistakes& mistakes);

/// The bytes of a config file, cut where parse_yaml would refuse the length; nothing, and a mistake
/// at `asked_at`, when it is no readable regular file.
std::optional<std::string> read_config_file(const std::filesystem::path& file,
                                            const Place& asked_at, Mistakes& mistakes);

}  // namespace cltrain
