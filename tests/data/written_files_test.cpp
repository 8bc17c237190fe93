// What is written: .npy files byte for byte as numpy writes them, PNG files as they are read back,
// and nothing half written.
#include "data/decode.h"
#include "data/durable_file.h"
#include "data/npy.h"
#include "data/write_png.h"
#include "tests/data/test_files.h"

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using testing::Bytes;
using testing::TemporaryFolder;

void write_npy(const fs::path& path, const std::string& type, const std::vector<int64_t>& shape,
               const Bytes& bytes) {
  NpyWriter writer(path, type, shape);
  writer.append(bytes.data(), bytes.size() / 2);
  writer.append(bytes.data() + bytes.size() / 2, bytes.size() - bytes.size() / 2);
  writer.commit();
}

// numpy.save of numpy 2: the header's text, without the spaces and the line's end behind it.
TEST(NpyWriter, HeadersAreNumpys) {
  const TemporaryFolder folder;
  const struct {
    std::string type;
    std::vector<int64_t> shape;
    std::string text;
  } cases[] = {
      {"<f4", {3, 4}, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }"},
      {"<i8", {5}, "{'descr': '<i8', 'fortran_order': False, 'shape': (5,), }"},
      {"<f8", {}, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }"},
      {"|u1", {0, 7, 2}, "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 7, 2), }"}};
  for (const auto& one : cases) {
    size_t size = one.type == "|u1" ? 1 : static_cast<size_t>(one.type[2] - '0');
    for (const int64_t extent : one.shape) size *= static_cast<size_t>(extent);
    write_npy(folder / "a.npy", one.type, one.shape, Bytes(size, 7));
    const Bytes file = testing::read(folder / "a.npy");
    ASSERT_EQ(file.size(), 128 + size);
    const Bytes front{0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 118, 0};
    EXPECT_EQ(Bytes(file.begin(), file.begin() + 10), front);
    EXPECT_EQ(std::string(file.begin() + 10, file.begin() + 10 + one.text.size()), one.text);
    EXPECT_EQ(std::string(file.begin() + 10 + one.text.size(), file.begin() + 128),
              std::string(117 - one.text.size(), ' ') + "\n");
    const NpyArray array = read_npy(folder / "a.npy");
    EXPECT_EQ(array.type, one.type);
    EXPECT_EQ(array.shape, one.shape);
    EXPECT_EQ(array.bytes, Bytes(size, 7));
  }
}

// The golden files of the augmentation were written by numpy.save.
TEST(NpyWriter, GoldenFilesOfNumpyComeBackByteForByte) {
  const TemporaryFolder folder;
  int count = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(CLTRAIN_TEST_FILES) / "golden")) {
    if (entry.path().extension() != ".npy") continue;
    const NpyArray array = read_npy(entry.path());
    write_npy(folder / "a.npy", array.type, array.shape, array.bytes);
    EXPECT_EQ(testing::read(folder / "a.npy"), testing::read(entry.path())) << entry.path();
    ++count;
  }
  EXPECT_GT(count, 10);
}

TEST(NpyWriter, NothingIsVisibleBeforeItIsWhole) {
  const TemporaryFolder folder;
  const Bytes bytes(24, 3);
  {
    NpyWriter writer(folder / "a.npy", "<i8", {3});
    writer.append(bytes.data(), 16);
    EXPECT_THROW(writer.append(bytes.data(), 16), std::logic_error);
    EXPECT_THROW(writer.commit(), std::logic_error);
    EXPECT_FALSE(fs::exists(folder / "a.npy"));
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
  EXPECT_THROW(NpyWriter(folder / "a.npy", "<c8", {3}), std::invalid_argument);
  EXPECT_THROW(NpyWriter(folder / "none" / "a.npy", "<i8", {3}), IoError);
}

TEST(NpyStream, ReadsInPiecesAndFindsTruncation) {
  const TemporaryFolder folder;
  Bytes bytes(40);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i);
  write_npy(folder / "a.npy", "<f4", {5, 2}, bytes);
  NpyStream stream(folder / "a.npy");
  EXPECT_EQ(stream.type(), "<f4");
  EXPECT_EQ(stream.shape(), (std::vector<int64_t>{5, 2}));
  Bytes found(40);
  stream.read(found.data(), 8);
  stream.read(found.data() + 8, 32);
  EXPECT_EQ(found, bytes);
  EXPECT_THROW(stream.read(found.data(), 1), DataError);
  fs::resize_file(folder / "a.npy", 150);
  EXPECT_THROW(NpyStream(folder / "a.npy"), DataError);
  EXPECT_THROW(NpyStream(folder / "b.npy"), DataError);
  testing::write(folder / "c.npy", Bytes(200, 1));
  EXPECT_THROW(NpyStream(folder / "c.npy"), DataError);
}

Image pattern(int64_t height, int64_t width) {
  Image image{height, width, Bytes(static_cast<size_t>(height * width * 3))};
  for (size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<uint8_t>((i * 2654435761u) >> 13);
  return image;
}

TEST(WritePng, IsReadBackPixelForPixel) {
  const TemporaryFolder folder;
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{1, 1}, {3, 200}, {97, 64}}) {
    const Image image = pattern(height, width);
    write_png(folder / "a.png", image);
    const Image back = decode_image(testing::read(folder / "a.png"), "a.png");
    EXPECT_EQ(back.height, height);
    EXPECT_EQ(back.width, width);
    EXPECT_EQ(back.pixels, image.pixels);
  }
  EXPECT_FALSE(fs::exists(folder / "a.png.tmp"));
}

TEST(WritePng, RefusesWhatIsNoImageAndNamesTheFile) {
  const TemporaryFolder folder;
  EXPECT_THROW(encode_png({}), std::invalid_argument);
  EXPECT_THROW(encode_png({2, 2, Bytes(11)}), std::invalid_argument);
  try {
    write_png(folder / "none" / "a.png", pattern(2, 2));
    FAIL() << "written into a folder that is not there";
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("none/a.png"), std::string::npos) << error.what();
  }
}

TEST(DurableFile, ReplacesWholeOrNotAtAll) {
  const TemporaryFolder folder;
  replace_file_durably(folder / "a", "first");
  {
    DurableFile file(folder / "a");
    file.write("second", 6);
  }
  EXPECT_EQ(testing::read(folder / "a"), (Bytes{'f', 'i', 'r', 's', 't'}));
  replace_file_durably(folder / "a", "2");
  EXPECT_EQ(testing::read(folder / "a"), Bytes{'2'});
  EXPECT_FALSE(fs::exists(folder / "a.tmp"));
  remove_durably(folder / "a");
  remove_durably(folder / "a");
  EXPECT_TRUE(fs::is_empty(folder.path()));
  EXPECT_THROW(replace_file_durably("/dev/full/a", "x"), IoError);
}

}  // namespace
}  // namespace cltrain
