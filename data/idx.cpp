#include "data/idx.h"

#include "data/files.h"

#include <algorithm>
#include <utility>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kClasses = 10;
// Far above any real set (60,000 x 28 x 28 is 47 MB), far below what would exhaust memory.
constexpr uint64_t kLargestSet = uint64_t{1} << 32;

struct IdxArray {
  std::vector<uint64_t> extents;
  std::vector<uint8_t> bytes;
};

fs::path find_file(const fs::path& root, const std::string& name, const std::string& advice) {
  for (const char* ending : {"", ".gz"}) {
    const fs::path path = root / (name + ending);
    std::error_code error;
    if (fs::exists(path, error)) return path;
  }
  throw DataError((root / name).string() + "[.gz]: no such file; " + advice);
}

uint32_t big_endian(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

/// Reads unsigned bytes with `dimensions` extents; the file must hold exactly what it declares.
IdxArray read_idx(const fs::path& path, uint32_t dimensions) {
  const auto refuse = [&](const std::string& found) {
    throw DataError(path.string() + ": " + found +
                    "; expected an IDX file of unsigned bytes with " + std::to_string(dimensions) +
                    " dimensions: fetch it again");
  };
  GzipReader reader(path);
  const uint64_t header_size = 4 + 4 * dimensions;
  const std::vector<uint8_t> header = reader.read(header_size);
  if (header.size() < header_size)
    refuse("only " + std::to_string(header.size()) + " bytes, the header alone has " +
           std::to_string(header_size));
  const uint32_t magic = big_endian(header.data());
  if (magic != 0x0800 + dimensions)
    refuse("magic number " + std::to_string(magic) + ", not " +
           std::to_string(0x0800 + dimensions));
  IdxArray array;
  uint64_t expected = 1;
  for (uint32_t at = 0; at < dimensions; ++at) {
    array.extents.push_back(big_endian(header.data() + 4 + 4 * at));
    if (array.extents.back() == 0) refuse("extent " + std::to_string(at) + " is 0");
    expected *= array.extents.back();
    if (expected > kLargestSet) refuse("declares more than 4 GiB of data");
  }
  array.bytes = reader.read(expected + 1);
  if (array.bytes.size() != expected)
    refuse((array.bytes.size() < expected ? "only " : "more than ") +
           std::to_string(std::min<uint64_t>(array.bytes.size(), expected)) +
           " bytes after the header where its extents need exactly " + std::to_string(expected));
  array.bytes.shrink_to_fit();
  return array;
}

class IdxDataset : public Dataset {
 public:
  IdxDataset(std::string description, IdxArray images, std::vector<uint8_t> labels)
      : description_(std::move(description)),
        height_(static_cast<int64_t>(images.extents[1])),
        width_(static_cast<int64_t>(images.extents[2])),
        pixels_(std::move(images.bytes)),
        labels_(std::move(labels)) {}

  int64_t size() const override { return static_cast<int64_t>(labels_.size()); }
  int64_t label(int64_t position) const override {
    return labels_.at(static_cast<size_t>(position));
  }
  int64_t classes() const override { return kClasses; }
  std::string describe() const override { return description_; }

  Image image(int64_t position) const override {
    const int64_t area = height_ * width_;
    if (position < 0 || position >= size())
      throw std::out_of_range("image " + std::to_string(position) + " of " +
                              std::to_string(size()));
    const uint8_t* grey = pixels_.data() + position * area;
    Image image{height_, width_, std::vector<uint8_t>(static_cast<size_t>(3 * area))};
    for (int64_t at = 0; at < area; ++at)
      for (int64_t channel = 0; channel < 3; ++channel) image.pixels[3 * at + channel] = grey[at];
    return image;
  }

 private:
  std::string description_;
  int64_t height_, width_;
  std::vector<uint8_t> pixels_;  // [size, height, width]
  std::vector<uint8_t> labels_;
};

}  // namespace

std::unique_ptr<Dataset> open_idx(const fs::path& root, bool train, const std::string& title,
                                  const std::string& advice) {
  const std::string part = train ? "train" : "t10k";
  const fs::path image_path = find_file(root, part + "-images-idx3-ubyte", advice);
  const fs::path label_path = find_file(root, part + "-labels-idx1-ubyte", advice);
  IdxArray images = read_idx(image_path, 3);
  IdxArray labels = read_idx(label_path, 1);
  if (images.extents[0] != labels.extents[0])
    throw DataError(label_path.string() + ": " + std::to_string(labels.extents[0]) +
                    " labels, expected exactly " + std::to_string(images.extents[0]) +
                    ", one for each image of " + image_path.string() + "; " + advice);
  for (size_t at = 0; at < labels.bytes.size(); ++at)
    if (labels.bytes[at] >= kClasses)
      throw DataError(label_path.string() + ": label " + std::to_string(labels.bytes[at]) +
                      " at image " + std::to_string(at) + ", expected 0 to " +
                      std::to_string(kClasses - 1) + "; " + advice);
  const std::string description =
      title + " " + (train ? "train" : "test") + ", " + std::to_string(images.extents[0]) +
      " images " + std::to_string(images.extents[1]) + " x " + std::to_string(images.extents[2]) +
      ", " + std::to_string(kClasses) + " classes, " + root.string();
  return std::make_unique<IdxDataset>(description, std::move(images), std::move(labels.bytes));
}

}  // namespace cltrain
