// Folders of files with a sub-folder for each class: what image folders and video folders have in
// common.
//
// Training files: data.train, else root/train, else root itself. Evaluation files: data.val, else
// root/val, else none. Sub-folders that hold files of the kind are classes, numbered in byte order
// of their names; the files of a class are those anywhere below it, in byte order of their paths. A
// folder with files and no such sub-folder has no labels (label -1). Hidden files and folders are
// ignored; links to files and class folders are followed, links to folders further down are not.
// Evaluation by labels needs labels on both sides; where it is off the note says why.
//
// Only names are read. Called once, on every rank. Throws DataError.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cltrain {

struct FileKind {
  std::string name;                      ///< "images"
  std::string formats;                   ///< "JPEG or PNG images", for people
  std::string endings;                   ///< ".jpg, .jpeg or .png", for people
  bool (*has_ending)(std::string_view);  ///< of a file's name
};

struct LabelledFiles {
  std::filesystem::path folder;
  std::vector<std::filesystem::path> files;
  std::vector<int32_t> labels;  ///< of each file
  int64_t classes = 0;          ///< 0: no labels
};

struct ClassFolders {
  LabelledFiles train;
  std::optional<LabelledFiles> test;  ///< none: evaluation by labels is off, and `note` says why
  std::string note;
};

ClassFolders list_class_folders(const std::string& root, const std::string& train,
                                const std::string& val, const FileKind& kind);

/// "3 classes" or "no labels", for describe().
std::string classes_text(int64_t classes);

}  // namespace cltrain
