// 8-bit RGB PNG files, by libpng. Pure (encode_png) or writing one file durably; any thread.
// Throws std::invalid_argument for an image without pixels or whose pixels are not height x width x
// 3, IoError (data/durable_file.h) naming the file when it cannot be written.
#pragma once

#include "data/dataset.h"

#include <cstdint>
#include <filesystem>
#include <vector>

namespace cltrain {

std::vector<uint8_t> encode_png(const Image& image);
void write_png(const std::filesystem::path& path, const Image& image);

}  // namespace cltrain
