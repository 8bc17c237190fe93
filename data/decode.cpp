#include "data/decode.h"

namespace cltrain {

Image decode_image(std::span<const uint8_t> bytes, const std::string& name) {
  if (bytes.size() >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF)
    return decode_jpeg(bytes, name);
  if (bytes.size() >= 4 && bytes[0] == 0x89 && bytes[1] == 'P' && bytes[2] == 'N' &&
      bytes[3] == 'G')
    return decode_png(bytes, name);
  throw DataError(name + ": neither JPEG nor PNG (" + std::to_string(bytes.size()) +
                  " bytes): remove the file or replace it");
}

void check_extent(uint64_t height, uint64_t width, const std::string& name) {
  if (height > 0 && width > 0 && width <= kLargestImage / height) return;
  throw DataError(name + ": declares " + std::to_string(width) + " x " + std::to_string(height) +
                  " pixels, allowed are 1 to " + std::to_string(kLargestImage) +
                  " in all: remove the file or replace it");
}

}  // namespace cltrain
