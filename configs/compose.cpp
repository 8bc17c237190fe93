#include "configs/compose.h"

#include "configs/config_roots.h"
#include "configs/nearest.h"
#include "configs/scalar_text.h"

#include <algorithm>
#include <map>
#include <optional>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostFiles = 200;  // two files that each list the next twice double at every level

// `group=name` of the command line.
struct Selection {
  std::optional<std::string> name;
  Place place;
  bool used = false;
};

class Composer {
 public:
  Composer(const ConfigRequest& request, const OptionTable& table, Mistakes& mistakes)
      : request_(request), table_(table), mistakes_(mistakes), roots_(request.search) {}

  Composition compose() {
    Composition result;
    const std::optional<fs::path> main = roots_.find_main(request_.file, mistakes_);
    const std::vector<Assignment> overrides = read_overrides();
    if (main) {
      result.file = *main;
      std::vector<std::string> chain;
      add_file(*main, "", {.source = main->string()}, chain);
      report_unused_selections(main->string());
      add_stage(*main, result);
    }
    result.assignments = std::move(assignments_);
    result.assignments.insert(result.assignments.end(), overrides.begin(), overrides.end());
    return result;
  }

 private:
  void add_stage(const fs::path& main, Composition& result) {
    for (const auto& [path, file] : files_)
      if (!file.stages.empty() && path != main.string())
        mistakes_.add(file.stages_place, "stages",
                      "belong in the file that is run, and this one is listed by " + main.string() +
                          "; move them there");
    const std::vector<std::vector<Assignment>>& stages = files_[main.string()].stages;
    result.stages = static_cast<int64_t>(stages.size());
    if (request_.stage < 1 || request_.stage > result.stages) return;
    const auto& own = stages[static_cast<size_t>(request_.stage - 1)];
    assignments_.insert(assignments_.end(), own.begin(), own.end());
  }

  std::vector<Assignment> read_overrides() {
    std::vector<Assignment> result;
    for (size_t i = 0; i < request_.overrides.size(); ++i) {
      const std::string& argument = request_.overrides[i];
      const Place place{"command line", Place::kCommandLine, static_cast<int>(i) + 1, 0};
      const size_t equals = argument.find('=');
      const std::string key = argument.substr(0, equals);
      if (equals == std::string::npos || key.empty()) {
        mistakes_.add(place, "", quote_for_message(argument) + " is not of the form key=value");
        continue;
      }
      const std::string_view text = std::string_view(argument).substr(equals + 1);
      const std::optional<YamlNode> value = parse_yaml(text, place, key, mistakes_);
      if (!value) continue;
      const bool may_be_group = !table_.find(key) && !value->is_map();
      if (may_be_group && roots_.is_group(key)) {
        select(key, *value);
        continue;
      }
      const bool near_nothing = !table_.is_section(key) && table_.nearest(key).empty();
      const std::string group = may_be_group && near_nothing ? roots_.nearest_group(key) : "";
      if (!group.empty()) {
        mistakes_.add(place, key, "there is no such option or group; nearest: the group " + group);
        continue;
      }
      for (Assignment& assignment : flatten(key, place, *value, table_, mistakes_)) {
        result.push_back(std::move(assignment));
      }
    }
    return result;
  }

  void select(const std::string& group, const YamlNode& value) {
    if (value.is_list()) {
      mistakes_.add(value.place, group,
                    "received a list; allowed: the name of one config, or null");
      return;
    }
    Selection& selection = selections_[group];
    selection.place = value.place;
    selection.name.reset();
    if (value.is_scalar()) selection.name = value.text;
  }

  // Applies a file of `group` and what its defaults list names. `chain`: the files being applied.
  void add_file(const fs::path& path, const std::string& group, const Place& asked_at,
                std::vector<std::string>& chain) {
    const std::string name = path.string();
    const bool cycle = std::find(chain.begin(), chain.end(), name) != chain.end();
    chain.push_back(name);
    if (cycle) {
      mistakes_.add(asked_at, "defaults", "go round in a cycle: " + join(chain, " -> "));
    } else if (++files_applied_ == kMostFiles + 1) {
      mistakes_.add(asked_at, "defaults",
                    "apply more than " + std::to_string(kMostFiles) + " files in all");
    } else if (files_applied_ <= kMostFiles) {
      const ConfigFile& file = read_file(path, asked_at);
      for (const DefaultsItem& item : file.defaults) add_item(item, file, group, chain);
    }
    chain.pop_back();
  }

  void add_item(const DefaultsItem& item, const ConfigFile& file, const std::string& group,
                std::vector<std::string>& chain) {
    if (item.is_self) {
      assignments_.insert(assignments_.end(), file.own.begin(), file.own.end());
      return;
    }
    std::optional<std::string> name = item.name;
    Place asked_at = item.place;
    // Within a group an item names the file that this one builds on; that is not up for selection.
    const auto selected = selections_.find(item.group);
    if (selected != selections_.end() && item.group != group) {
      selected->second.used = true;
      name = selected->second.name;
      asked_at = selected->second.place;
    }
    if (!name) return;
    const auto path = roots_.find(item.group, *name, asked_at, mistakes_);
    all_read_ = all_read_ && path.has_value();
    if (path) add_file(*path, item.group, asked_at, chain);
  }

  // Each file is read once, so that its mistakes are reported once.
  const ConfigFile& read_file(const fs::path& path, const Place& asked_at) {
    const auto [entry, is_new] = files_.try_emplace(path.string());
    if (!is_new) return entry->second;
    const Place start{path.string(), static_cast<int>(files_.size()), 1, 1};
    const std::optional<std::string> text = read_config_file(path, asked_at, mistakes_);
    std::optional<ConfigFile> file;
    if (text) file = read_config(*text, start, table_, mistakes_);
    all_read_ = all_read_ && file.has_value();
    if (file) entry->second = std::move(*file);
    return entry->second;
  }

  // Only where every file was read: a missing one might list the group.
  void report_unused_selections(const std::string& main) {
    if (!all_read_) return;
    for (const auto& [group, selection] : selections_) {
      if (selection.used) continue;
      const std::string item = "`- " + group + ": ...`";
      mistakes_.add(selection.place, group,
                    "no defaults list of " + main + " or of the files it names has an item " +
                        item + " to replace by " +
                        quote_for_message(selection.name.value_or("null")) +
                        "; add one, or set single options");
    }
  }

  const ConfigRequest& request_;
  const OptionTable& table_;
  Mistakes& mistakes_;
  ConfigRoots roots_;
  std::map<std::string, ConfigFile> files_;
  std::map<std::string, Selection> selections_;
  std::vector<Assignment> assignments_;
  size_t files_applied_ = 0;
  bool all_read_ = true;
};

}  // namespace

Composition compose(const ConfigRequest& request, const OptionTable& table, Mistakes& mistakes) {
  return Composer(request, table, mistakes).compose();
}

}  // namespace cltrain
