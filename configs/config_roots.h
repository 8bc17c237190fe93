// Finding config files: the folders that are searched, and what is there. Called by compose();
// reads the file system, changes nothing.
#pragma once

#include "configs/mistakes.h"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cltrain {

class ConfigRoots {
 public:
  explicit ConfigRoots(const std::vector<std::filesystem::path>& search);

  /// The main file: as given (absolute, or from the working directory), then in each search folder,
  /// each also with ".yaml" appended. Its folder becomes the first root. Where there is none, a
  /// mistake with every place looked at and the nearest existing name.
  std::optional<std::filesystem::path> find_main(const std::string& file, Mistakes& mistakes);

  /// `name`.yaml in `group` ("" for the roots themselves); a mistake at `asked_at` where no root
  /// has it, or where a name would leave the roots.
  std::optional<std::filesystem::path> find(const std::string& group, const std::string& name,
                                            const Place& asked_at, Mistakes& mistakes) const;

  /// True if a root has a folder `group` with .yaml files in it.
  bool is_group(const std::string& group) const;

  /// The group closest to `word`, or "".
  std::string nearest_group(const std::string& word) const;

 private:
  /// Names of the .yaml files of a group over all roots, without ".yaml", sorted.
  std::vector<std::string> names_in(const std::string& group) const;

  std::vector<std::filesystem::path> roots_;
};

}  // namespace cltrain
