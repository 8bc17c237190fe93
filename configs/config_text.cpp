// Configs and options as text for people and for files.
#include "configs/config.h"
#include "configs/nearest.h"

#include <algorithm>

namespace cltrain {
namespace {

constexpr size_t kWidth = 100;

// Writes the options under `section` ("" for all), sections nested, everything in the order in
// which it was declared first.
void write_section(const OptionTable& table, const std::string& section, size_t depth,
                   std::string& text) {
  std::vector<std::string> written;
  for (const Option& option : table.options()) {
    if (!option.name().starts_with(section)) continue;
    const size_t dot = option.name().find('.', section.size());
    const std::string part = option.name().substr(section.size(), dot - section.size());
    if (std::find(written.begin(), written.end(), part) != written.end()) continue;
    written.push_back(part);
    text += std::string(2 * depth, ' ') + part + ":";
    if (dot == std::string::npos) {
      text += " " + option.format() + "\n";
    } else {
      text += "\n";
      write_section(table, section + part + ".", depth + 1, text);
    }
  }
}

void read_section(const YamlNode& map, const std::string& section,
                  std::map<std::string, std::string>& values) {
  for (const YamlEntry& entry : map.entries) {
    const std::string name = section + entry.key;
    if (entry.value.is_map()) {
      read_section(entry.value, name + ".", values);
    } else {
      values[name] = write_flow(entry.value);
    }
  }
}

std::vector<std::string> wrap(const std::string& text, size_t width) {
  std::vector<std::string> lines(1);
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(' ', start), text.size());
    std::string word = text.substr(start, end - start);
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width) {
      lines.emplace_back();
    }
    for (; word.size() > width; word.erase(0, width)) {
      lines.back() = word.substr(0, width);
      lines.emplace_back();
    }
    lines.back() += (lines.back().empty() ? "" : " ") + word;
    start = end + 1;
  }
  return lines;
}

struct HelpRow {
  std::string name, type, default_text, doc;
};

HelpRow help_row(const Option& option) {
  const OptionSpec& spec = option.spec();
  std::vector<std::string> notes;
  const bool says_more = spec.min || spec.max || !spec.choices.empty();
  if (says_more) notes.push_back(option.allowed());
  if (!spec.unit.empty()) notes.push_back(spec.unit);
  if (spec.safe_to_change) notes.push_back("may change on resume");
  const std::string in_brackets = notes.empty() ? "" : " (" + join(notes, "; ") + ")";
  return {option.name(), option.type_name(), option.default_text(), spec.doc + in_brackets};
}

// The columns that hold the longest cell, but no more than leaves room for the next column; a
// longer cell pushes what follows it to the next line.
struct HelpColumns {
  size_t name = 0, type = 0, default_text = 0;

  void fit(const HelpRow& row) {
    name = std::max(name, std::min<size_t>(row.name.size(), 28));
    type = std::max(type, std::min<size_t>(row.type.size(), 14));
    default_text = std::max(default_text, std::min<size_t>(row.default_text.size(), 16));
  }
};

std::string help_lines(const HelpRow& row, const HelpColumns& columns) {
  std::string text, line = "  ";
  size_t column = 2;
  const auto move_on = [&](size_t width) {
    column += width + 2;
    if (line.size() + 2 > column) {
      text += line + "\n";
      line.clear();
    }
    line.resize(column, ' ');
  };
  line += row.name;
  move_on(columns.name);
  line += row.type;
  move_on(columns.type);
  const std::vector<std::string> defaults = wrap(row.default_text, kWidth - column);
  for (size_t i = 0; i < defaults.size(); ++i) {
    if (i > 0) {
      text += line + "\n";
      line.assign(column, ' ');
    }
    line += defaults[i];
  }
  move_on(columns.default_text);
  for (const std::string& part : wrap(row.doc, kWidth - column)) {
    text += line + part + "\n";
    line.assign(column, ' ');
  }
  return text;
}

std::string first_part(const std::string& name) {
  const size_t dot = name.find('.');
  return dot == std::string::npos ? "" : name.substr(0, dot);
}

}  // namespace

std::string resolved_yaml(const OptionTable& table) {
  std::string text;
  write_section(table, "", 0, text);
  return text;
}

std::map<std::string, std::string> parse_resolved(std::string_view text,
                                                  const std::string& source) {
  Mistakes mistakes;
  std::map<std::string, std::string> values;
  const Place start{source, 0, 1, 1};
  const std::optional<YamlNode> root = parse_yaml(text, start, "", mistakes);
  if (root && root->is_map()) {
    read_section(*root, "", values);
  } else if (root && !root->is_null()) {
    mistakes.add(start, "", "is no map of options; was it written by this program?");
  }
  mistakes.throw_if_any();
  return values;
}

std::string resolved_with_origins(const ResolvedConfig& config) {
  constexpr size_t kLongestPadded = 60;
  std::vector<std::string> lines;
  size_t width = 0;
  for (const ConfigValue& value : config.values) {
    lines.push_back(value.name + ": " + value.text);
    if (lines.back().size() <= kLongestPadded) width = std::max(width, lines.back().size());
  }
  std::string text;
  for (size_t i = 0; i < lines.size(); ++i) {
    lines[i].resize(std::max(width, lines[i].size()), ' ');
    text += lines[i] + "   # " + config.values[i].origin + "\n";
  }
  return text;
}

std::string options_help(const OptionTable& table, std::string_view prefix) {
  // Sections in the order of their first option; options without a section first.
  std::vector<std::string> sections;
  std::map<std::string, std::vector<HelpRow>> rows;
  HelpColumns columns;
  for (const Option& option : table.options()) {
    if (!option.name().starts_with(prefix)) continue;
    const std::string section = first_part(option.name());
    if (rows[section].empty()) sections.push_back(section);
    rows[section].push_back(help_row(option));
    columns.fit(rows[section].back());
  }
  std::stable_partition(sections.begin(), sections.end(),
                        [](const std::string& section) { return section.empty(); });
  std::string text;
  for (const std::string& section : sections) {
    if (!text.empty()) text += "\n";
    if (!section.empty()) text += section + "\n";
    for (const HelpRow& row : rows[section]) text += help_lines(row, columns);
  }
  return text;
}

}  // namespace cltrain
