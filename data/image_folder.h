// Folders of JPEG and PNG files (.jpg, .jpeg, .png in any case; what they hold decides).
// Which files are which samples, and their labels: data/class_folders.h.
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
