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

bool image_name(const fs::path& path) {
  std::string ending = path.extension().string();
  for (char& letter : ending)
    if (letter >= 'A' && letter <= 'Z') letter += 'a' - 'A';
  return ending == ".jpg" || ending == ".jpeg" || ending == ".png";
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
    if (!hidden(entry.path()) && image_name(entry.path()) && entry.is_regular_file())
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
    else if (image_name(entry->path()) && entry->is_regular_file())
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
    const fs::path& path = files_.at(static_cast<size_t>(position));
    return decode_image(read_file(path, kLargestFile), path.string());
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

fs::path choose(const std::string& given, const fs::path& usual, const fs::path& otherwise) {
  if (!given.empty()) return given;
  std::error_code error;
  return fs::is_directory(usual, error) ? usual : otherwise;
}

}  // namespace

DatasetPair open_image_folders(const std::string& root, const std::string& train,
                               const std::string& val) {
  if (root.empty() && train.empty())
    throw DataError(
        "data.root is empty; expected a folder of images (train/ and val/ below it, if present): "
        "set data.root=FOLDER, or data.train=FOLDER and data.val=FOLDER");
  // A root that is mistyped must not be hidden by a data.train or data.val that is not.
  if (!root.empty()) require_folder(root, "data.root", "images, or train/ and val/");
  const fs::path base = root;
  std::error_code error;
  if (!root.empty() && train.empty() && fs::is_directory(base / "val", error) &&
      !fs::is_directory(base / "train", error))
    throw DataError(root + ": holds val/ but no train/; put the training images into train/, or " +
                    "set data.train=FOLDER");
  const fs::path train_folder = choose(train, base / "train", base);
  const fs::path val_folder = choose(val, root.empty() ? fs::path() : base / "val", {});
  Listing training = list_folder(train_folder, train.empty() ? "data.root" : "data.train");
  std::vector<std::string> names;
  for (const ImageClass& group : training.classes) names.push_back(group.name);
  DatasetPair pair;
  pair.note = note_of_unused(training);
  const std::string off = "Evaluation by labels is off: ";
  if (names.empty()) {
    pair.note += off + train_folder.string() + " has no class folders.";
  } else if (val_folder.empty()) {
    pair.note += off + "there is no " + (base / "val").string() + " and data.val is not set.";
  } else {
    Listing evaluation = list_folder(val_folder, val.empty() ? "data.root" : "data.val");
    pair.note += note_of_unused(evaluation);
    if (evaluation.classes.empty())
      pair.note += off + val_folder.string() + " has no class folders.";
    else
      pair.test = make(std::move(evaluation), names);
  }
  pair.train = make(std::move(training), names);
  return pair;
}

}  // namespace cltrain
