#include "data/tar_shards.h"

#include "data/decode.h"
#include "data/files.h"
#include "data/open_shards.h"
#include "data/shard_index.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLargestSample = uint64_t{1} << 29;

class TarShards : public Dataset {
 public:
  TarShards(fs::path folder, std::vector<ShardIndex> shards, int64_t classes)
      : folder_(std::move(folder)),
        shards_(std::move(shards)),
        classes_(classes),
        files_(paths_of(shards_)) {
    for (const ShardIndex& shard : shards_) {
      first_.push_back(size_);
      size_ += static_cast<int64_t>(shard.images.size());
    }
  }

  int64_t size() const override { return size_; }
  int64_t classes() const override { return classes_; }
  int64_t label(int64_t position) const override { return find(position).image.label; }
  std::string describe() const override {
    return "tar shards, " + std::to_string(size()) + " images in " +
           std::to_string(shards_.size()) + " shards, " +
           (classes_ > 0 ? std::to_string(classes_) + " classes, " : "no labels, ") +
           folder_.string();
  }
  Image image(int64_t position) const override {
    const RawImage sample = raw(position);
    return decode_image(sample.encoded, sample.name);
  }
  RawImage raw(int64_t position) const override {
    const auto [shard, image] = find(position);
    RawImage sample;
    sample.name = shards_[shard].path.string() + ": " + (shards_[shard].names.data() + image.name) +
                  " (" + std::to_string(image.size) + " bytes at byte " +
                  std::to_string(image.offset) + ")";
    if (image.size == 0) throw BadSample("damaged", sample.name + ": an empty file");
    if (image.size > kLargestSample)
      throw BadSample("too_large", sample.name + ": at most " + std::to_string(kLargestSample) +
                                       " bytes are allowed");
    sample.encoded = files_.read(shard, image.offset, image.size, sample.name);
    return sample;
  }

 private:
  struct Place {
    size_t shard;
    const ShardImage& image;
  };
  Place find(int64_t position) const {
    if (position < 0 || position >= size_)
      throw std::out_of_range("tar shards: position " + std::to_string(position) + " of " +
                              std::to_string(size_));
    const auto next = std::upper_bound(first_.begin(), first_.end(), position);
    const auto shard = static_cast<size_t>(next - first_.begin()) - 1;
    return {shard, shards_[shard].images[static_cast<size_t>(position - first_[shard])]};
  }
  static std::vector<fs::path> paths_of(const std::vector<ShardIndex>& shards) {
    std::vector<fs::path> paths;
    for (const ShardIndex& shard : shards) paths.push_back(shard.path);
    return paths;
  }

  fs::path folder_;
  std::vector<ShardIndex> shards_;
  int64_t classes_;
  OpenShards files_;
  std::vector<int64_t> first_;  // position of each shard's first image
  int64_t size_ = 0;
};

enum class Labels { kNone, kNumbers, kFolders };

/// The shards of one folder.
struct Part {
  fs::path folder;
  std::vector<ShardIndex> shards;
  Labels labels = Labels::kNone;
};

bool compressed_name(const std::string& name) {
  constexpr std::array endings = {".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2", ".tar.lz4"};
  return std::any_of(endings.begin(), endings.end(),
                     [&](const char* ending) { return name.ends_with(ending); });
}

std::vector<fs::path> list_shards(const fs::path& folder, const std::string& option) {
  require_folder(folder, option, "uncompressed .tar files of JPEG or PNG images");
  std::vector<fs::path> shards;
  try {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with('.') || !entry.is_regular_file()) continue;
      if (name.ends_with(".tar")) shards.push_back(entry.path());
      if (compressed_name(name))
        throw DataError(entry.path().string() +
                        ": a compressed tar; samples are read at any place, which only an "
                        "uncompressed tar allows: unpack it to a .tar, or move it away");
    }
  } catch (const fs::filesystem_error& error) {
    throw DataError(folder.string() + ": cannot be listed: " + error.what());
  }
  if (shards.empty())
    throw DataError(folder.string() +
                    ": no .tar file in it; expected uncompressed .tar files of JPEG or PNG "
                    "images: set " +
                    option + "=FOLDER");
  std::sort(shards.begin(), shards.end(), [](const fs::path& left, const fs::path& right) {
    return left.native() < right.native();
  });
  return shards;
}

Part index_part(const fs::path& folder, const std::string& option) {
  Part part{.folder = folder, .shards = index_shards(list_shards(folder, option))};
  bool numbers = false, folders = false, any = false;
  for (const ShardIndex& shard : part.shards)
    for (const ShardImage& image : shard.images) {
      any = true;
      numbers = numbers || image.label >= 0;
      folders = folders || image.folder >= 0;
    }
  if (!any)
    throw DataError(folder.string() + ": no .jpg, .jpeg or .png member in its " +
                    std::to_string(part.shards.size()) + " .tar files: set " + option +
                    "=FOLDER to a folder of shards with images");
  part.labels = numbers ? Labels::kNumbers : folders ? Labels::kFolders : Labels::kNone;
  return part;
}

/// Removes the images without a label from a part with labels; says so.
std::string drop_unlabelled(Part& part) {
  if (part.labels == Labels::kNone) return "";
  int64_t dropped = 0;
  for (ShardIndex& shard : part.shards)
    dropped += static_cast<int64_t>(std::erase_if(shard.images, [&](const ShardImage& image) {
      return (part.labels == Labels::kNumbers ? image.label : image.folder) < 0;
    }));
  if (dropped == 0) return "";
  return std::to_string(dropped) + " images " +
         (part.labels == Labels::kNumbers ? "without a .cls member" : "outside of class folders") +
         " in the shards of " + part.folder.string() + " are not used. ";
}

/// Names of the classes, in the order of their numbers; of numbered ones only the count matters.
std::vector<std::string> classes_of(const Part& part) {
  if (part.labels == Labels::kNumbers) {
    int32_t largest = -1;
    for (const ShardIndex& shard : part.shards)
      for (const ShardImage& image : shard.images) largest = std::max(largest, image.label);
    return std::vector<std::string>(static_cast<size_t>(largest) + 1);
  }
  std::set<std::string> names;
  for (const ShardIndex& shard : part.shards)
    names.insert(shard.folders.begin(), shard.folders.end());
  return {names.begin(), names.end()};
}

/// Turns folders into labels, and checks that labels are among the training classes.
void number_classes(Part& part, const std::vector<std::string>& classes) {
  const auto unknown = [&](const ShardIndex& shard, const std::string& name) {
    throw DataError(shard.path.string() + ": class " + name +
                    " is not among those of the training shards; evaluation compares with "
                    "training labels: give both the same classes");
  };
  for (ShardIndex& shard : part.shards) {
    std::vector<int32_t> label_of;
    if (part.labels == Labels::kFolders)
      for (const std::string& name : shard.folders) {
        const auto found = std::lower_bound(classes.begin(), classes.end(), name);
        if (found == classes.end() || *found != name) unknown(shard, name);
        label_of.push_back(static_cast<int32_t>(found - classes.begin()));
      }
    for (ShardImage& image : shard.images) {
      if (part.labels == Labels::kFolders)
        image.label = label_of[static_cast<size_t>(image.folder)];
      if (image.label >= static_cast<int32_t>(classes.size()))
        unknown(shard, std::to_string(image.label));
    }
  }
}

std::unique_ptr<Dataset> make(Part part, const std::vector<std::string>& classes) {
  if (part.labels != Labels::kNone) number_classes(part, classes);
  const auto count = static_cast<int64_t>(part.labels == Labels::kNone ? 0 : classes.size());
  return std::make_unique<TarShards>(part.folder, std::move(part.shards), count);
}

}  // namespace

DatasetPair open_tar_shards(const std::string& root, const std::string& train,
                            const std::string& val) {
  const PartFolders folders = part_folders(root, train, val, "tar shards");
  Part training = index_part(folders.train, folders.train_option);
  DatasetPair pair;
  pair.note = drop_unlabelled(training);
  const std::vector<std::string> classes = classes_of(training);
  const std::string off = "Evaluation by labels is off: ";
  if (training.labels == Labels::kNone) {
    pair.note += off + "the shards of " + folders.train.string() +
                 " have neither .cls members nor class folders.";
  } else if (folders.val.empty()) {
    pair.note +=
        off + "there is no " + (fs::path(root) / "val").string() + " and data.val is not set.";
  } else {
    Part evaluation = index_part(folders.val, folders.val_option);
    pair.note += drop_unlabelled(evaluation);
    if (evaluation.labels == Labels::kNone)
      pair.note += off + "the shards of " + folders.val.string() +
                   " have neither .cls members nor class folders.";
    else if (evaluation.labels != training.labels)
      throw DataError(folders.val.string() + ": labels of " +
                      (training.labels == Labels::kNumbers ? "class folders" : ".cls members") +
                      ", but the training shards have the other kind; evaluation compares with "
                      "training labels: give both the same kind");
    else
      pair.test = make(std::move(evaluation), classes);
  }
  pair.train = make(std::move(training), classes);
  return pair;
}

}  // namespace cltrain
