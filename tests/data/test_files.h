// Files for the tests of the data room: a folder that vanishes, writers of IDX, CIFAR and PNG
// files, and small data sets made in memory.
#pragma once

#include "data/dataset.h"
#include "data/npy.h"
#include "tests/support/temporary_folder.h"

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <zlib.h>

namespace cltrain::testing {

using Bytes = std::vector<uint8_t>;

inline void write(const std::filesystem::path& path, const Bytes& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream stream(path, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  if (!stream) throw std::runtime_error("cannot write " + path.string());
}

inline Bytes read(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + path.string());
  return Bytes(std::istreambuf_iterator<char>(stream), {});
}

inline Bytes gzip(const Bytes& bytes) {
  TemporaryFolder folder;
  const std::string path = (folder / "file.gz").string();
  const gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
  return read(path);
}

/// An IDX file of unsigned bytes.
inline Bytes idx(const std::vector<uint32_t>& extents, const Bytes& data) {
  Bytes bytes = {0, 0, 8, static_cast<uint8_t>(extents.size())};
  for (const uint32_t extent : extents)
    for (int shift = 24; shift >= 0; shift -= 8)
      bytes.push_back(static_cast<uint8_t>(extent >> shift));
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

/// What `statement` throws as a DataError, or "" with a failure.
template <typename Statement>
std::string data_error(const Statement& statement) {
  try {
    statement();
  } catch (const DataError& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "not a DataError: " << error.what();
    return "";
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

#define EXPECT_MENTIONS(text, part) \
  EXPECT_NE((text).find(part), std::string::npos) << "in: " << (text)

inline NpyArray golden(const std::string& name) {
  return read_npy(std::filesystem::path(CLTRAIN_TEST_FILES) / "golden" / (name + ".npy"));
}

inline std::vector<std::vector<double>> golden_table(const std::string& name) {
  const NpyArray array = golden(name);
  if (array.type != "<f8" || array.shape.size() != 2) throw std::runtime_error(name);
  std::vector<std::vector<double>> rows(static_cast<size_t>(array.shape[0]));
  for (size_t row = 0; row < rows.size(); ++row) {
    rows[row].resize(static_cast<size_t>(array.shape[1]));
    std::memcpy(rows[row].data(), array.bytes.data() + row * rows[row].size() * 8,
                rows[row].size() * 8);
  }
  return rows;
}

/// The pictures of [n, h, w, 3], or the one of [h, w, 3].
inline std::vector<Image> golden_images(const std::string& name) {
  const NpyArray array = golden(name);
  const size_t rank = array.shape.size();
  if (array.type != "|u1" || rank < 3) throw std::runtime_error(name);
  const int64_t height = array.shape[rank - 3], width = array.shape[rank - 2];
  const auto bytes = static_cast<size_t>(height * width * 3);
  std::vector<Image> images(array.bytes.size() / bytes);
  for (size_t at = 0; at < images.size(); ++at)
    images[at] = {height, width,
                  Bytes(array.bytes.begin() + static_cast<int64_t>(at * bytes),
                        array.bytes.begin() + static_cast<int64_t>((at + 1) * bytes))};
  return images;
}

/// `size` pictures of side x side whose pixels tell them apart; label = position mod 3.
class PatternDataset : public Dataset {
 public:
  explicit PatternDataset(int64_t size, int64_t side = 12) : size_(size), side_(side) {}
  int64_t size() const override { return size_; }
  int64_t classes() const override { return 3; }
  int64_t label(int64_t position) const override { return position % 3; }
  int64_t source_id(int64_t position) const override { return 1000 + position; }
  std::string describe() const override { return "patterns"; }
  Image image(int64_t position) const override {
    Image image{side_, side_, Bytes(static_cast<size_t>(3 * side_ * side_))};
    for (size_t at = 0; at < image.pixels.size(); ++at)
      image.pixels[at] = static_cast<uint8_t>((at * 31 + at / 17 * 5 + position * 97) % 256);
    return image;
  }

 private:
  int64_t size_, side_;
};

}  // namespace cltrain::testing
