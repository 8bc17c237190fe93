// Folders of JPEG and PNG files (.jpg, .jpeg, .png in any case; what they hold decides).
//
// Training images: data.train, else root/train, else root itself. Evaluation images: data.val, else
// root/val, else none. Sub-folders that hold images are classes, numbered in byte order of their
// names; the files of a class are those anywhere below it, in byte order of their paths. A folder
// with images and no such sub-folder has no labels (label -1). Hidden files and folders are
// ignored; links to files and class folders are followed, links to folders further down are not.
// Evaluation by labels needs labels on both sides; where it is off the pair's note says why.
//
// Only names are read here; raw() reads a file and image() decodes it too (data/decode.h). Opened
// on every rank; the sets are thread-safe. A folder that is missing or gives no image is a
// DataError; a file that is gone, empty or larger than 512 MiB is a BadSample when it is asked for.
#pragma once

#include "data/registry.h"

#include <string>

namespace cltrain {

DatasetPair open_image_folders(const std::string& root, const std::string& train,
                               const std::string& val);

}  // namespace cltrain
