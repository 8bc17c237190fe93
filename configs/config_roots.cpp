#include "configs/config_roots.h"

#include "configs/nearest.h"
#include "configs/scalar_text.h"

#include <algorithm>
#include <set>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

// Words of letters, digits, `_`, `-` and inner dots, joined by slashes: no way out of the roots.
bool is_config_name(std::string_view name) {
  char before = '/';
  for (char c : name) {
    const bool start = before == '/';
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' ||
                        (c >= '0' && c <= '9');
    if (!letter && (start || (c != '.' && c != '/'))) return false;
    before = c;
  }
  return before != '/';
}

std::vector<std::string> yaml_names(const fs::path& folder) {
  std::set<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(folder.empty() ? fs::path(".") : folder, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == ".yaml") names.insert(entry->path().stem().string());
  }
  return {names.begin(), names.end()};
}

bool is_file(const fs::path& file) {
  std::error_code error;
  return fs::exists(file, error) && !fs::is_directory(file, error);
}

}  // namespace

ConfigRoots::ConfigRoots(const std::vector<fs::path>& search) : roots_(search) {}

std::optional<fs::path> ConfigRoots::find_main(const std::string& file, Mistakes& mistakes) {
  std::vector<fs::path> places = {file};
  if (fs::path(file).is_relative()) {
    for (const fs::path& root : roots_) places.push_back(root / file);
  }
  std::vector<std::string> looked_at, there;
  for (const fs::path& place : places) {
    std::vector<fs::path> candidates = {place};
    if (place.extension() != ".yaml") candidates.push_back(place.string() + ".yaml");
    for (const fs::path& candidate : candidates) {
      if (file.empty() || !is_file(candidate)) continue;
      std::erase(roots_, candidate.parent_path());
      roots_.insert(roots_.begin(), candidate.parent_path());
      return candidate;
    }
    looked_at.push_back(place.string());
    for (const std::string& name : yaml_names(place.parent_path())) there.push_back(name);
  }
  std::string what = file.empty() ? "no config file was named; give one with --config FILE"
                                  : "no such config file; looked for " + join(looked_at);
  const std::string nearest = nearest_word(fs::path(file).stem().string(), there);
  std::sort(there.begin(), there.end());
  there.erase(std::unique(there.begin(), there.end()), there.end());
  if (!there.empty()) what += "; there are " + join(there);
  if (!nearest.empty()) what += "; nearest: " + nearest;
  mistakes.add({.source = file.empty() ? "--config" : file}, "", what);
  return std::nullopt;
}

std::optional<fs::path> ConfigRoots::find(const std::string& group, const std::string& name,
                                          const Place& asked_at, Mistakes& mistakes) const {
  const std::string key = group.empty() ? "defaults" : group;
  const std::string inside = (group.empty() ? "" : group + "/") + name;
  if (!is_config_name(inside)) {
    mistakes.add(asked_at, key,
                 quote_for_message(inside) +
                     " is no name of a config; use letters, digits, _, - and inner dots, without "
                     ".yaml, below the folders that are searched");
    return std::nullopt;
  }
  std::vector<std::string> looked_at;
  for (const fs::path& root : roots_) {
    const fs::path candidate = root / (inside + ".yaml");
    if (is_file(candidate)) return candidate;
    looked_at.push_back(candidate.string());
  }
  const std::vector<std::string> there = names_in(group);
  const std::string nearest = there.empty() ? nearest_group(group) : nearest_word(name, there);
  std::string what = quote_for_message(name) + " does not exist; looked for " + join(looked_at);
  what += there.empty() ? "; there is no group of that name" : "; allowed: " + join(there);
  if (!nearest.empty()) what += "; nearest: " + nearest;
  mistakes.add(asked_at, key, what);
  return std::nullopt;
}

bool ConfigRoots::is_group(const std::string& group) const {
  return is_config_name(group) && !names_in(group).empty();
}

std::string ConfigRoots::nearest_group(const std::string& word) const {
  std::vector<std::string> groups;
  for (const fs::path& root : roots_) {
    std::error_code error;
    fs::directory_iterator entry(root.empty() ? fs::path(".") : root, error), end;
    for (; !error && entry != end; entry.increment(error)) {
      const std::string name = entry->path().filename().string();
      if (is_group(name)) groups.push_back(name);
    }
  }
  std::sort(groups.begin(), groups.end());
  return nearest_word(word, groups);
}

std::vector<std::string> ConfigRoots::names_in(const std::string& group) const {
  std::set<std::string> names;
  for (const fs::path& root : roots_) {
    const std::vector<std::string> found = yaml_names(root / group);
    names.insert(found.begin(), found.end());
  }
  return {names.begin(), names.end()};
}

}  // namespace cltrain
