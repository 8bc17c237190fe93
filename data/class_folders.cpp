#include "data/class_folders.h"

#include "data/dataset.h"
#include "data/files.h"

#include <algorithm>
#include <utility>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

bool hidden(const fs::path& path) {
  return path.filename().string().starts_with('.');
}

void sort_bytewise(std::vector<fs::path>& paths) {
  std::sort(paths.begin(), paths.end(), [](const fs::path& left, const fs::path& right) {
    return left.native() < right.native();
  });
}

/// Files of the kind lying in `folder` itself, sorted.
std::vector<fs::path> files_in(const fs::path& folder, const FileKind& kind) {
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (!hidden(entry.path()) && kind.has_ending(entry.path().native()) && entry.is_regular_file())
      found.push_back(entry.path());
  sort_bytewise(found);
  return found;
}

/// Files of the kind anywhere below `folder`, sorted.
std::vector<fs::path> files_below(const fs::path& folder, const FileKind& kind) {
  std::vector<fs::path> found;
  auto entry = fs::recursive_directory_iterator(folder);
  for (; entry != fs::recursive_directory_iterator(); ++entry) {
    if (hidden(entry->path()))
      entry.disable_recursion_pending();
    else if (kind.has_ending(entry->path().native()) && entry->is_regular_file())
      found.push_back(entry->path());
  }
  sort_bytewise(found);
  return found;
}

struct ClassFiles {
  std::string name;
  std::vector<fs::path> files;
};

/// What a folder holds: classes, or files without labels.
struct Listing {
  fs::path folder;
  std::vector<ClassFiles> classes;
  std::vector<fs::path> loose;
};

Listing list_folder(const fs::path& folder, const std::string& option, const FileKind& kind) {
  require_folder(folder, option, kind.formats + ", or a sub-folder of them for each class");
  Listing listing{folder, {}, {}};
  try {
    std::vector<fs::path> folders;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
      if (entry.is_directory() && !hidden(entry.path())) folders.push_back(entry.path());
    sort_bytewise(folders);
    for (const fs::path& path : folders) {
      std::vector<fs::path> files = files_below(path, kind);
      if (!files.empty()) listing.classes.push_back({path.filename().string(), std::move(files)});
    }
    listing.loose = files_in(folder, kind);
  } catch (const fs::filesystem_error& error) {
    throw DataError(folder.string() + ": cannot be listed: " + error.what());
  }
  if (listing.classes.empty() && listing.loose.empty())
    throw DataError(folder.string() + ": no " + kind.endings +
                    " file in it or below it; expected " + kind.name +
                    ", or a sub-folder of them for each class: set " + option + "=FOLDER");
  return listing;
}

/// `names` are the training classes: labels of both parts must mean the same.
LabelledFiles label(Listing listing, const std::vector<std::string>& names) {
  LabelledFiles result;
  for (ClassFiles& group : listing.classes) {
    const auto found = std::find(names.begin(), names.end(), group.name);
    if (found == names.end())
      throw DataError((listing.folder / group.name).string() +
                      ": the training folder has no class of this name; evaluation compares with "
                      "training labels: give both folders the same class names");
    result.labels.insert(result.labels.end(), group.files.size(),
                         static_cast<int32_t>(found - names.begin()));
    std::move(group.files.begin(), group.files.end(), std::back_inserter(result.files));
  }
  if (listing.classes.empty()) {
    result.files = std::move(listing.loose);
    result.labels.assign(result.files.size(), -1);
  }
  result.classes = static_cast<int64_t>(listing.classes.empty() ? 0 : names.size());
  result.folder = std::move(listing.folder);
  return result;
}

std::string note_of_unused(const Listing& listing, const FileKind& kind) {
  if (listing.classes.empty() || listing.loose.empty()) return "";
  return std::to_string(listing.loose.size()) + " " + kind.name + " beside the class folders of " +
         listing.folder.string() + " are not used. ";
}

}  // namespace

ClassFolders list_class_folders(const std::string& root, const std::string& train,
                                const std::string& val, const FileKind& kind) {
  const PartFolders folders = part_folders(root, train, val, kind.name);
  Listing training = list_folder(folders.train, folders.train_option, kind);
  std::vector<std::string> names;
  for (const ClassFiles& group : training.classes) names.push_back(group.name);
  ClassFolders parts;
  parts.note = note_of_unused(training, kind);
  const std::string off = "Evaluation by labels is off: ";
  if (names.empty()) {
    parts.note += off + folders.train.string() + " has no class folders.";
  } else if (folders.val.empty()) {
    parts.note +=
        off + "there is no " + (fs::path(root) / "val").string() + " and data.val is not set.";
  } else {
    Listing evaluation = list_folder(folders.val, folders.val_option, kind);
    parts.note += note_of_unused(evaluation, kind);
    if (evaluation.classes.empty())
      parts.note += off + folders.val.string() + " has no class folders.";
    else
      parts.test = label(std::move(evaluation), names);
  }
  parts.train = label(std::move(training), names);
  return parts;
}

std::string classes_text(int64_t classes) {
  return classes > 0 ? std::to_string(classes) + " classes" : "no labels";
}

}  // namespace cltrain
