#include "data/registry.h"

#include "data/cifar.h"
#include "data/files.h"
#include "data/idx.h"
#include "data/image_folder.h"
#include "data/npy.h"
#include "data/subset.h"
#include "data/tar_shards.h"
#include "data/video_folder.h"

#include <filesystem>
#include <stdexcept>

namespace cltrain {
namespace {

constexpr const char* kFashionFolder = "/usr/share/datasets/fashion-mnist";
constexpr const char* kIdxFiles =
    "train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz], t10k-images-idx3-ubyte[.gz] and "
    "t10k-labels-idx1-ubyte[.gz]";

DatasetPair open_fashion(const DataOptions& options) {
  const std::string root = options.root.empty() ? kFashionFolder : options.root;
  const std::string advice = std::string(
                                 "install it with `apt-get install dataset-fashion-mnist` "
                                 "(Debian, Ubuntu), or put the four IDX files ") +
                             kIdxFiles + " in a folder and set data.root=FOLDER";
  std::error_code error;
  if (!std::filesystem::is_directory(root, error))
    throw DataError(root + ": no such folder, expected Fashion-MNIST there; " + advice);
  return {open_idx(root, true, "Fashion-MNIST", advice),
          open_idx(root, false, "Fashion-MNIST", advice), ""};
}

DatasetPair open_mnist(const DataOptions& options) {
  require_folder(options.root, "data.root", std::string("MNIST's four IDX files ") + kIdxFiles);
  const std::string advice =
      std::string("put the four IDX files ") + kIdxFiles + " in a folder and set data.root=FOLDER";
  return {open_idx(options.root, true, "MNIST", advice),
          open_idx(options.root, false, "MNIST", advice), ""};
}

DatasetPair open_cifar_pair(const DataOptions& options, int classes) {
  require_folder(options.root, "data.root",
                 "the binary version of CIFAR-" + std::to_string(classes));
  return {open_cifar(options.root, true, classes), open_cifar(options.root, false, classes), ""};
}

ClipOptions clips_of(const DataOptions& options) {
  return {.frames = options.frames, .stride = options.stride, .eval_clips = options.eval_clips};
}

DatasetPair open_whole(const DataOptions& options) {
  if (options.name == "fashion_mnist") return open_fashion(options);
  if (options.name == "mnist") return open_mnist(options);
  if (options.name == "cifar10") return open_cifar_pair(options, 10);
  if (options.name == "cifar100") return open_cifar_pair(options, 100);
  if (options.name == "image_folder")
    return open_image_folders(options.root, options.train, options.val);
  if (options.name == "tar_shards")
    return open_tar_shards(options.root, options.train, options.val);
  if (options.name == "video_folder")
    return open_video_folders(options.root, options.train, options.val, clips_of(options));
  if (data_kind(options) == DataKind::kClicks)
    throw DataError("data.name=" + options.name + " shows no pictures; choose another set, or " +
                    "method.name=cl4srec_easyrec");
  throw std::logic_error("data.name=" + options.name + " is in the table but has no opener");
}

/// Names of the rows that satisfy `wanted`, for messages.
std::string names_of(bool (*wanted)(const DataSetRow&)) {
  std::string names;
  for (const DataSetRow& row : data_set_table())
    if (wanted(row)) names += (names.empty() ? "" : ", ") + row.name;
  return names;
}

const DataSetRow& row_of(const DataOptions& options) {
  for (const DataSetRow& row : data_set_table())
    if (row.name == options.name) return row;
  throw DataError("data.name=" + options.name + ": no such data set; allowed: " +
                  names_of([](const DataSetRow&) { return true; }) +
                  "; any other name is that of a file of sequences, which only recommenders read");
}

}  // namespace

const std::vector<DataSetRow>& data_set_table() {
  constexpr bool kFolders = true, kVideos = true, kClicks = true;
  static const std::vector<DataSetRow> table = {
      {"fashion_mnist", "Fashion-MNIST, 60,000 + 10,000 grey images 28 x 28 (IDX, gz or plain)"},
      {"mnist", "MNIST, 60,000 + 10,000 grey digits 28 x 28 (IDX, gz or plain)"},
      {"cifar10", "CIFAR-10, 50,000 + 10,000 images 32 x 32 (official binary version)"},
      {"cifar100", "CIFAR-100, 50,000 + 10,000 images 32 x 32, fine labels (binary version)"},
      {"image_folder", "JPEG and PNG files; sub-folders are classes; train/ and val/ if present",
       kFolders},
      {"tar_shards", "uncompressed .tar files of JPEG and PNG; labels of .cls or of folders within",
       kFolders},
      {"video_folder",
       "video files, any that FFmpeg reads; sub-folders are classes; views are clips", kFolders,
       kVideos},
      {"clicks_synthetic", "rows in the schema of Taobao's advertisements, clicked by a known rule",
       !kFolders, !kVideos, kClicks},
  };
  return table;
}

DatasetPair open_datasets(const DataOptions& options) {
  if (!row_of(options).folders && !(options.train.empty() && options.val.empty()))
    throw DataError("data.train=" + options.train + " data.val=" + options.val + ": only " +
                    names_of([](const DataSetRow& row) { return row.folders; }) +
                    " take these, and data.name=" + options.name + "; set data.root instead");
  DatasetPair pair = open_whole(options);
  if (!options.index_list.empty())
    pair.train =
        pick(std::move(pair.train), read_npy_integers(options.index_list), options.index_list);
  return pair;
}

DataKind data_kind(const DataOptions& options) {
  for (const DataSetRow& row : data_set_table())
    if (row.name == options.name)
      return row.clicks ? DataKind::kClicks : row.videos ? DataKind::kClips : DataKind::kImages;
  return DataKind::kSequences;
}

ViewShape view_shape(const DataOptions& data, const AugmentOptions& augment) {
  const DataKind kind = data_kind(data);
  if (kind == DataKind::kSequences || kind == DataKind::kClicks) return {};
  if (row_of(data).videos) return clip_shape(clips_of(data), augment);
  return {3, augment.size, augment.size};
}

}  // namespace cltrain
