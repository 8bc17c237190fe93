#include "data/image_folder.h"

#include "data/decode.h"
#include "data/files.h"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLargestFile = uint64_t{1} << 29;

bool hidden(const fs::path& path) {
  return path.filename().string().starts_with('.');
}

void sort_bytewise(std::vector<fs::path>& paths) {
  std::sort(paths.begin(), paths.end(), [](const fs::path& left, const fs::path& right) {
    return left.native() < right.native();
  });
}

/// Images lying in `folder` itself, sorted.
std::vector<fs::path> images_in(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (!hidden(entry.path()) && has_image_ending(entry.path().native()) && entry.is_regular_file())
      found.push_back(entry.path());
  sort_bytewise(found);
  return found;
}

/// Images anywhere below `folder`, sorted.
std::vector<fs::path> images_below(const fs::path& folder) {
  std::vector<fs::path> found;
  auto entry = fs::recursive_directory_iterator(folder);
  for (; entry != fs::recursive_directory_iterator(); ++entry) {
    if (hidden(entry->path()))
      entry.disable_recursion_pending();
    else if (has_image_ending(entry->path().native()) && entry->is_regular_file())
      found.push_back(entry->path());
  }
  sort_bytewise(found);
  return found;
}

struct ImageClass {
  std::string name;
  std::vector<fs::path> files;
};

/// What a folder holds: classes, or files without labels.
struct Listing {
  fs::path folder;
  std::vector<ImageClass> classes;
  std::vector<fs::path> loose;
};

Listing list_folder(const fs::path& folder, const std::string& option) {
  require_folder(folder, option, "JPEG or PNG images, or a sub-folder of them for each class");
  Listing listing{folder, {}, {}};
  try {
    std::vector<fs::path> folders;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
      if (entry.is_directory() && !hidden(entry.path())) folders.push_back(entry.path());
    sort_bytewise(folders);
    for (const fs::path& path : folders) {
      std::vector<fs::path> files = images_below(path);
      if (!files.empty()) listing.classes.push_back({path.filename().string(), std::move(files)});
    }
    listing.loose = images_in(folder);
  } catch (const fs::filesystem_error& error) {
    throw DataError(folder.string() + ": cannot be listed: " + error.what());
  }
  if (listing.classes.empty() && listing.loose.empty())
    throw DataError(folder.string() +
                    ": no .jpg, .jpeg or .png file in it or below it; expected images, or a "
                    "sub-folder of them for each class: set " +
                    option + "=FOLDER");
  return listing;
}

class ImageFolder : public Dataset {
 public:
  ImageFolder(fs::path folder, std::vector<fs::path> files, std::vector<int32_t> labels,
              int64_t classes)
      : folder_(std::move(folder)),
        files_(std::move(files)),
        labels_(std::move(labels)),
        classes_(classes) {}

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  int64_t classes() const override { return classes_; }
  int64_t label(int64_t position) const override {
    return labels_.at(static_cast<size_t>(position));
  }
  std::string describe() const override {
    return "image folder, " + std::to_string(size()) + " images, " +
           (classes_ > 0 ? std::to_string(classes_) + " classes, " : "no labels, ") +
           folder_.string();
  }
  Image image(int64_t position) const override {
    const RawImage file = raw(position);
    return decode_image(file.encoded, file.name);
  }
  RawImage raw(int64_t position) const override {
    const fs::path& path = files_.at(static_cast<size_t>(position));
    return {.encoded = read_sample(path, kLargestFile), .name = path.string()};
  }

 private:
  fs::path folder_;
  std::vector<fs::path> files_;
  std::vector<int32_t> labels_;
  int64_t classes_;
};

/// `names` are the training classes: labels of both parts must mean the same.
std::unique_ptr<Dataset> make(Listing listing, const std::vector<std::string>& names) {
  std::vector<fs::path> files;
  std::vector<int32_t> labels;
  for (ImageClass& group : listing.classes) {
    const auto found = std::find(names.begin(), names.end(), group.name);
    if (found == names.end())
      throw DataError((listing.folder / group.name).string() +
                      ": the training folder has no class of this name; evaluation compares with "
                      "training labels: give both folders the same class names");
    labels.insert(labels.end(), group.files.size(), static_cast<int32_t>(found - names.begin()));
    std::move(group.files.begin(), group.files.end(), std::back_inserter(files));
  }
  if (listing.classes.empty()) {
    files = std::move(listing.loose);
    labels.assign(files.size(), -1);
  }
  const auto classes = static_cast<int64_t>(listing.classes.empty() ? 0 : names.size());
  return std::make_unique<ImageFolder>(listing.folder, std::move(files), std::move(labels),
                                       classes);
}

std::string note_of_unused(const Listing& listing) {
  if (listing.classes.empty() || listing.loose.empty()) return "";
  return std::to_string(listing.loose.size()) + " images beside the class folders of " +
         listing.folder.string() + " are not used. ";
}

}  // namespace

DatasetPair open_image_folders(const std::string& root, const std::string& train,
                               const std::string& val) {
  const PartFolders folders = part_folders(root, train, val, "images");
  Listing training = list_folder(folders.train, folders.train_option);
  std::vector<std::string> names;
  for (const ImageClass& group : training.classes) names.push_back(group.name);
  DatasetPair pair;
  pair.note = note_of_unused(training);
  const std::string off = "Evaluation by labels is off: ";
  if (names.empty()) {
    pair.note += off + folders.train.string() + " has no class folders.";
  } else if (folders.val.empty()) {
    pair.note +=
        off + "there is no " + (fs::path(root) / "val").string() + " and data.val is not set.";
  } else {
    Listing evaluation = list_folder(folders.val, folders.val_option);
    pair.note += note_of_unused(evaluation);
    if (evaluation.classes.empty())
      pair.note += off + folders.val.string() + " has no class folders.";
    else
      pair.test = make(std::move(evaluation), names);
  }
  pair.train = make(std::move(training), names);
  return pair;
}

}  // namespace cltrain
