#include "data/cifar.h"

#include "data/files.h"

#include <utility>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSide = 32;
constexpr int64_t kPlane = kSide * kSide;

class CifarDataset : public Dataset {
 public:
  CifarDataset(std::string description, int classes, std::vector<uint8_t> records)
      : description_(std::move(description)),
        classes_(classes),
        label_bytes_(classes == 100 ? 2 : 1),
        record_bytes_(label_bytes_ + 3 * kPlane),
        records_(std::move(records)) {}

  int64_t size() const override { return static_cast<int64_t>(records_.size()) / record_bytes_; }
  int64_t classes() const override { return classes_; }
  std::string describe() const override { return description_; }
  int64_t label(int64_t position) const override { return record(position)[label_bytes_ - 1]; }

  Image image(int64_t position) const override {
    const uint8_t* planes = record(position) + label_bytes_;
    Image image{kSide, kSide, std::vector<uint8_t>(3 * kPlane)};
    for (int64_t at = 0; at < kPlane; ++at)
      for (int64_t channel = 0; channel < 3; ++channel)
        image.pixels[3 * at + channel] = planes[channel * kPlane + at];
    return image;
  }

 private:
  const uint8_t* record(int64_t position) const {
    if (position < 0 || position >= size())
      throw std::out_of_range("image " + std::to_string(position) + " of " +
                              std::to_string(size()));
    return records_.data() + position * record_bytes_;
  }

  std::string description_;
  int64_t classes_, label_bytes_, record_bytes_;
  std::vector<uint8_t> records_;
};

struct Layout {
  std::vector<std::string> files;
  uint64_t records_a_file;
};

Layout layout(bool train, int classes) {
  if (classes == 100) return train ? Layout{{"train.bin"}, 50000} : Layout{{"test.bin"}, 10000};
  if (!train) return {{"test_batch.bin"}, 10000};
  return {{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
           "data_batch_5.bin"},
          10000};
}

}  // namespace

std::unique_ptr<Dataset> open_cifar(const fs::path& root, bool train, int classes) {
  const std::string title = "CIFAR-" + std::to_string(classes);
  const Layout parts = layout(train, classes);
  const fs::path unpacked = root / (classes == 100 ? "cifar-100-binary" : "cifar-10-batches-bin");
  std::error_code error;
  const bool inside = !fs::exists(root / parts.files[0], error) && fs::exists(unpacked, error);
  const fs::path folder = inside ? unpacked : root;
  const uint64_t label_bytes = classes == 100 ? 2 : 1;
  const uint64_t record_bytes = label_bytes + 3 * kPlane;
  std::vector<uint8_t> records;
  for (const std::string& name : parts.files) {
    const fs::path path = folder / name;
    if (!fs::exists(path, error))
      throw DataError(path.string() + ": no such file; " + title +
                      " is read from its official binary version (" + parts.files[0] +
                      (parts.files.size() > 1 ? ", ..." : "") +
                      "): set data.root to the folder that holds it");
    std::vector<uint8_t> part = read_file_of_size(
        path, parts.records_a_file * record_bytes,
        std::to_string(parts.records_a_file) + " records of " + std::to_string(record_bytes) +
            " bytes, the binary version of " + title);
    for (uint64_t at = 0; at < parts.records_a_file; ++at) {
      const int label = part[at * record_bytes + label_bytes - 1];
      if (label >= classes)
        throw DataError(path.string() + ": label " + std::to_string(label) + " in record " +
                        std::to_string(at) + ", expected 0 to " + std::to_string(classes - 1) +
                        "; the file is damaged or another one: fetch it again");
    }
    if (parts.files.size() == 1) {
      records = std::move(part);  // 154 MB that need not be there twice
    } else {
      records.reserve(parts.files.size() * part.size());
      records.insert(records.end(), part.begin(), part.end());
    }
  }
  const std::string description =
      title + (train ? " train, " : " test, ") + std::to_string(records.size() / record_bytes) +
      " images 32 x 32, " + std::to_string(classes) + " classes, " + folder.string();
  return std::make_unique<CifarDataset>(description, classes, std::move(records));
}

}  // namespace cltrain
