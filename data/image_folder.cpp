#include "data/image_folder.h"

#include "data/class_folders.h"
#include "data/decode.h"
#include "data/files.h"

#include <filesystem>
#include <utility>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLargestFile = uint64_t{1} << 29;

class ImageFolder : public Dataset {
 public:
  explicit ImageFolder(LabelledFiles files) : files_(std::move(files)) {}

  int64_t size() const override { return static_cast<int64_t>(files_.files.size()); }
  int64_t classes() const override { return files_.classes; }
  int64_t label(int64_t position) const override {
    return files_.labels.at(static_cast<size_t>(position));
  }
  std::string describe() const override {
    return "image folder, " + std::to_string(size()) + " images, " + classes_text(classes()) +
           ", " + files_.folder.string();
  }
  Image image(int64_t position) const override {
    const RawImage file = raw(position);
    return decode_image(file.encoded, file.name);
  }
  RawImage raw(int64_t position) const override {
    const fs::path& path = files_.files.at(static_cast<size_t>(position));
    return {.encoded = read_sample(path, kLargestFile), .name = path.string()};
  }

 private:
  LabelledFiles files_;
};

}  // namespace

DatasetPair open_image_folders(const std::string& root, const std::string& train,
                               const std::string& val) {
  ClassFolders parts = list_class_folders(root, train, val,
                                          {.name = "images",
                                           .formats = "JPEG or PNG images",
                                           .endings = ".jpg, .jpeg or .png",
                                           .has_ending = has_image_ending});
  DatasetPair pair;
  pair.note = std::move(parts.note);
  pair.train = std::make_unique<ImageFolder>(std::move(parts.train));
  if (parts.test) pair.test = std::make_unique<ImageFolder>(std::move(*parts.test));
  return pair;
}

}  // namespace cltrain
