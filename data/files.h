// Reading whole files into memory, with limits, and finding the folders of a set: the shared floor
// of the readers.
//
// Any thread. Throws DataError (data/dataset.h) that names the file and what is wrong with it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace cltrain {

/// The file's bytes. Refuses what is no regular file, is unreadable, or holds more than `limit`.
std::vector<uint8_t> read_file(const std::filesystem::path& path, uint64_t limit);

/// The same for the file of one sample: what is wrong with it alone is a BadSample ("unreadable",
/// "too_large"; "damaged" when it is empty). Running out of descriptors or memory is the process's
/// fault, not the sample's, and remains a DataError.
std::vector<uint8_t> read_sample(const std::filesystem::path& path, uint64_t limit);

/// A file that must hold exactly `size` bytes; `what` says what they are ("10000 records of ...").
std::vector<uint8_t> read_file_of_size(const std::filesystem::path& path, uint64_t size,
                                       const std::string& what);

/// Reads a gzip file, or a plain one, front to back. Damage in the compressed data is found where
/// it lies. Not thread-safe; each file has its own.
class GzipReader {
 public:
  explicit GzipReader(const std::filesystem::path& path);
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  /// Up to `count` bytes; fewer only at the end of the file. Grows with what is really there, so a
  /// header that promises too much costs no memory.
  std::vector<uint8_t> read(uint64_t count);

 private:
  std::filesystem::path path_;
  void* file_;
};

/// A .jpg, .jpeg or .png file by its name, in any case.
bool has_image_ending(std::string_view name);
/// A file of a usual video container by its name, in any case.
bool has_video_ending(std::string_view name);

/// Throws DataError unless `path` is a folder that can be read. `option` names what to set.
void require_folder(const std::filesystem::path& path, const std::string& option,
                    const std::string& expected);

/// Where the two parts of a set lie that is a folder or two.
struct PartFolders {
  std::filesystem::path train, val;      ///< val is empty where there is none
  std::string train_option, val_option;  ///< what to set to have another folder
};

/// Training part: data.train, else root/train, else root itself. Evaluation part: data.val, else
/// root/val, else none. `expected` says what a folder should hold ("images").
PartFolders part_folders(const std::string& root, const std::string& train, const std::string& val,
                         const std::string& expected);

}  // namespace cltrain
