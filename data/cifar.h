// CIFAR-10 and CIFAR-100 in the official binary layout (Krizhevsky 2009): records of 1 (CIFAR-10)
// or 2 (CIFAR-100: coarse, fine) label bytes and 3,072 bytes, the R, G and B planes of 32 x 32.
//
// CIFAR-10: data_batch_1.bin .. data_batch_5.bin and test_batch.bin of 10,000 records; CIFAR-100:
// train.bin of 50,000 and test.bin of 10,000. The label is the fine one. Files may lie in `root` or
// in the folder that the official archive unpacks to. Held in memory (154 MB for 50,000 images).
// Opened on every rank; the sets are thread-safe. Throws DataError.
#pragma once

#include "data/dataset.h"

#include <filesystem>
#include <memory>

namespace cltrain {

/// `classes` is 10 or 100.
std::unique_ptr<Dataset> open_cifar(const std::filesystem::path& root, bool train, int classes);

}  // namespace cltrain
