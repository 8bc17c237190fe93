// MNIST and Fashion-MNIST: the IDX format (yann.lecun.com, "The MNIST database"), gzip or plain.
//
// Four files in one folder: {train,t10k}-images-idx3-ubyte and -labels-idx1-ubyte, each with or
// without .gz. Held in memory as one grey byte a pixel (47 MB for the 60,000 images of 28 x 28).
// Opened on every rank; the sets are thread-safe. Throws DataError.
#pragma once

#include "data/dataset.h"

#include <filesystem>
#include <memory>
#include <string>

namespace cltrain {

/// `title` is for people ("Fashion-MNIST"); `advice` ends every message: what to do.
std::unique_ptr<Dataset> open_idx(const std::filesystem::path& root, bool train,
                                  const std::string& title, const std::string& advice);

}  // namespace cltrain
