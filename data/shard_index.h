// The images of tar shards: which members they are, where they lie, what label they carry.
//
// Called at the start, on every rank; index_shards works on up to 8 shards at a time with threads
// of its own, and its result does not depend on them. Throws DataError that names shard and byte;
// of several damaged shards the first one is named.
#pragma once

#include "data/tar_index.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cltrain {

/// Larger numbers in .cls members are a mistake: scores and probes hold a number for each class.
constexpr int64_t kMostClasses = 10'000'000;

struct ShardImage {
  uint64_t offset = 0, size = 0;  ///< bytes of the shard
  uint64_t name = 0;              ///< where its name begins in ShardIndex::names
  int32_t label = -1;             ///< of <stem>.cls, where there is one
  int32_t folder = -1;            ///< place in ShardIndex::folders; -1: in none
};

struct ShardIndex {
  std::filesystem::path path;
  std::vector<ShardImage> images;    ///< in the order of the tar
  std::string names;                 ///< of the images, each ended by a NUL
  std::vector<std::string> folders;  ///< first folders on the paths of images, each once
};

/// One index a path, in the order of the paths.
std::vector<ShardIndex> index_shards(const std::vector<std::filesystem::path>& paths);

}  // namespace cltrain
