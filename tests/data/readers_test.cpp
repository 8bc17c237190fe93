// IDX, CIFAR and .npy files: good ones, and every way to be bad.
#include "configs/option_table.h"
#include "data/cifar.h"
#include "data/idx.h"
#include "data/npy.h"
#include "data/registry.h"
#include "data/subset.h"
#include "test_files.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using testing::Bytes;
using testing::data_error;
using testing::idx;
using testing::TemporaryFolder;
using testing::write;

// --- IDX
// -------------------------------------------------------------------------------------------

Bytes counted(size_t size) {
  Bytes bytes(size);
  for (size_t at = 0; at < size; ++at) bytes[at] = static_cast<uint8_t>(at * 7);
  return bytes;
}

const Bytes kLabels = {3, 0, 9, 9};

/// Four images of 2 x 3 as training set and two as test set.
void write_mnist(const TemporaryFolder& folder) {
  write(folder / "train-images-idx3-ubyte", idx({4, 2, 3}, counted(24)));
  write(folder / "train-labels-idx1-ubyte", idx({4}, kLabels));
  write(folder / "t10k-images-idx3-ubyte.gz", testing::gzip(idx({2, 2, 3}, counted(12))));
  write(folder / "t10k-labels-idx1-ubyte.gz", testing::gzip(idx({2}, {1, 2})));
}

DatasetPair open_mnist(const TemporaryFolder& folder) {
  DataOptions options;
  options.name = "mnist";
  options.root = folder.path();
  return open_datasets(options);
}

TEST(Idx, ReadsPlainAndGzipFiles) {
  const TemporaryFolder folder;
  write_mnist(folder);
  const DatasetPair pair = open_mnist(folder);
  ASSERT_EQ(pair.train->size(), 4);
  ASSERT_EQ(pair.test->size(), 2);
  EXPECT_EQ(pair.train->classes(), 10);
  for (int64_t at = 0; at < 4; ++at) {
    EXPECT_EQ(pair.train->label(at), kLabels[static_cast<size_t>(at)]);
    EXPECT_EQ(pair.train->source_id(at), at);
  }
  const Image image = pair.train->image(2);
  EXPECT_EQ(image.height, 2);
  EXPECT_EQ(image.width, 3);
  ASSERT_EQ(image.pixels.size(), 18u);
  for (size_t at = 0; at < 18; ++at) EXPECT_EQ(image.pixels[at], uint8_t((12 + at / 3) * 7));
  EXPECT_EQ(pair.test->label(1), 2);
  EXPECT_EQ(pair.test->image(1).pixels[0], uint8_t(6 * 7));
  EXPECT_THROW(pair.train->image(4), std::out_of_range);
}

/// What opening says after one of the four files was replaced.
std::string mnist_error(const std::string& file, const Bytes& bytes) {
  const TemporaryFolder folder;
  write_mnist(folder);
  fs::remove(folder / file);
  write(folder / file, bytes);
  const std::string text = data_error([&] { open_mnist(folder); });
  EXPECT_MENTIONS(text, (folder / file).string());
  return text;
}

TEST(Idx, RefusesDamagedFilesByName) {
  const std::string images = "train-images-idx3-ubyte", labels = "train-labels-idx1-ubyte";
  EXPECT_MENTIONS(mnist_error(images, {}), "only 0 bytes");
  EXPECT_MENTIONS(mnist_error(images, idx({4, 2, 3}, counted(23))), "only 23 bytes");
  EXPECT_MENTIONS(mnist_error(images, idx({4, 2, 3}, counted(25))), "more than 24 bytes");
  EXPECT_MENTIONS(mnist_error(images, idx({24}, counted(24))), "magic number 2049, not 2051");
  EXPECT_MENTIONS(mnist_error(images, counted(500)), "magic number");
  EXPECT_MENTIONS(mnist_error(images, idx({0xFFFFFFFF, 0xFFFF, 0xFFFF}, {})), "more than 4 GiB");
  EXPECT_MENTIONS(mnist_error(images, idx({4000000, 28, 28}, counted(99))), "only 99 bytes");
  EXPECT_MENTIONS(mnist_error(images, idx({4, 0, 3}, {})), "extent 1 is 0");
  EXPECT_MENTIONS(mnist_error(labels, idx({3}, {1, 2, 3})), "3 labels, expected exactly 4");
  EXPECT_MENTIONS(mnist_error(labels, idx({4}, {1, 2, 10, 3})), "label 10 at image 2");
}

TEST(Idx, RefusesDamagedGzipFilesByName) {
  const std::string name = "t10k-images-idx3-ubyte.gz";
  Bytes good = testing::gzip(idx({2, 2, 3}, counted(12)));
  Bytes bad = good;
  bad.resize(bad.size() - 9);
  EXPECT_MENTIONS(mnist_error(name, bad), "damaged or truncated gzip");
  bad = good;
  bad[bad.size() - 6] ^= 1;  // the checksum
  EXPECT_MENTIONS(mnist_error(name, bad), "damaged or truncated gzip");
  bad = good;
  for (size_t at = 12; at < 20; ++at) bad[at] = 0xFF;
  EXPECT_NE(mnist_error(name, bad), "");
}

TEST(Idx, ASetThatIsNotThereSaysWhatToDo) {
  DataOptions options;
  options.root = "/no/such/folder";
  std::string text = data_error([&] { open_datasets(options); });
  EXPECT_MENTIONS(text, "/no/such/folder");
  EXPECT_MENTIONS(text, "apt-get install dataset-fashion-mnist");
  EXPECT_MENTIONS(text, "data.root=");
  options.name = "mnist";
  EXPECT_MENTIONS(data_error([&] { open_datasets(options); }), "no such folder");
  options.root = "";
  EXPECT_MENTIONS(data_error([&] { open_datasets(options); }), "data.root is empty");
  const TemporaryFolder folder;
  write_mnist(folder);
  fs::remove(folder / "t10k-labels-idx1-ubyte.gz");
  EXPECT_MENTIONS(data_error([&] { open_mnist(folder); }), "t10k-labels-idx1-ubyte[.gz]");
  fs::create_directory(folder / "t10k-labels-idx1-ubyte");
  EXPECT_MENTIONS(data_error([&] { open_mnist(folder); }), "not a regular file");
}

// --- CIFAR
// -----------------------------------------------------------------------------------------

constexpr uint64_t kRecord10 = 3073, kRecord100 = 3074;

/// A file of the full size whose records after the given ones are zeros (a hole on disk).
void write_records(const fs::path& path, const Bytes& records, uint64_t size) {
  write(path, records);
  fs::resize_file(path, size);
}

/// A record whose planes are constant: red, green, blue.
Bytes record(const Bytes& labels, uint8_t red, uint8_t green, uint8_t blue) {
  Bytes bytes = labels;
  bytes.insert(bytes.end(), 1024, red);
  bytes.insert(bytes.end(), 1024, green);
  bytes.insert(bytes.end(), 1024, blue);
  bytes[labels.size() + 33] = 77;  // row 1, column 1, red
  return bytes;
}

TEST(Cifar, Reads100WithFineLabels) {
  const TemporaryFolder folder;
  Bytes two = record({19, 99}, 1, 2, 3);
  const Bytes second = record({3, 42}, 200, 210, 220);
  two.insert(two.end(), second.begin(), second.end());
  write_records(folder / "train.bin", two, 50000 * kRecord100);
  const auto dataset = open_cifar(folder.path(), true, 100);
  EXPECT_EQ(dataset->size(), 50000);
  EXPECT_EQ(dataset->classes(), 100);
  EXPECT_EQ(dataset->label(0), 99);
  EXPECT_EQ(dataset->label(1), 42);
  const Image image = dataset->image(1);
  EXPECT_EQ((Bytes{image.pixels.begin(), image.pixels.begin() + 6}),
            (Bytes{200, 210, 220, 200, 210, 220}));
  EXPECT_EQ(image.pixels[(1 * 32 + 1) * 3], 77);
  EXPECT_EQ(image.pixels[(1 * 32 + 1) * 3 + 1], 210);
  EXPECT_THROW(dataset->image(50000), std::out_of_range);
}

TEST(Cifar, Reads10FromItsUnpackedFolder) {
  const TemporaryFolder folder;
  const fs::path inside = folder / "cifar-10-batches-bin";
  for (int part = 1; part <= 5; ++part)
    write_records(inside / ("data_batch_" + std::to_string(part) + ".bin"),
                  record({uint8_t(part)}, uint8_t(10 * part), 0, 0), 10000 * kRecord10);
  write_records(inside / "test_batch.bin", record({9}, 9, 9, 9), 10000 * kRecord10);
  DataOptions options;
  options.name = "cifar10";
  options.root = folder.path();
  const DatasetPair pair = open_datasets(options);
  ASSERT_EQ(pair.train->size(), 50000);
  for (int part = 1; part <= 5; ++part) {
    EXPECT_EQ(pair.train->label((part - 1) * 10000), part);
    EXPECT_EQ(pair.train->image((part - 1) * 10000).pixels[0], 10 * part);
  }
  EXPECT_EQ(pair.test->label(0), 9);
}

TEST(Cifar, RefusesOtherSizesLabelsAndMissingFiles) {
  const TemporaryFolder folder;
  const auto open = [&] { open_cifar(folder.path(), true, 100); };
  EXPECT_MENTIONS(data_error(open), "train.bin: no such file");
  write_records(folder / "train.bin", {}, 50000 * kRecord100 - 1);
  EXPECT_MENTIONS(data_error(open), "153699999 bytes, expected exactly 153700000");
  write_records(folder / "train.bin", {}, 50000 * kRecord100 + 1);
  EXPECT_MENTIONS(data_error(open), "153700001 bytes");
  write_records(folder / "train.bin", {0, 100}, 50000 * kRecord100);
  EXPECT_MENTIONS(data_error(open), "label 100 in record 0");
  write_records(folder / "data_batch_1.bin", {10}, 10000 * kRecord10);
  EXPECT_MENTIONS(data_error([&] { open_cifar(folder.path(), true, 10); }), "label 10 in record 0");
}

// --- lists
// -----------------------------------------------------------------------------------------

Bytes npy(const std::string& header, const Bytes& data, uint8_t version = 1) {
  Bytes bytes = {0x93, 'N', 'U', 'M', 'P', 'Y', version, 0};
  const std::string text = header + "\n";
  for (int at = 0; at < (version == 1 ? 2 : 4); ++at)
    bytes.push_back(static_cast<uint8_t>(text.size() >> (8 * at)));
  bytes.insert(bytes.end(), text.begin(), text.end());
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

Bytes int32_list(const std::vector<int32_t>& values) {
  Bytes data(4 * values.size());
  if (!values.empty()) std::memcpy(data.data(), values.data(), data.size());
  return npy("{'descr': '<i4', 'fortran_order': False, 'shape': (" + std::to_string(values.size()) +
                 ",), }",
             data);
}

TEST(Npy, ReadsBothVersionsAndBothIntegers) {
  const TemporaryFolder folder;
  write(folder / "a.npy", int32_list({5, -1, 70000}));
  EXPECT_EQ(read_npy_integers(folder / "a.npy"), (std::vector<int64_t>{5, -1, 70000}));
  const std::string header = "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }  ";
  write(folder / "b.npy", npy(header, {1, 0, 0, 0, 1, 0, 0, 0}, 2));
  EXPECT_EQ(read_npy_integers(folder / "b.npy"), (std::vector<int64_t>{(int64_t{1} << 32) + 1}));
}

TEST(Npy, RefusesEverythingElse) {
  const TemporaryFolder folder;
  const auto error = [&](const Bytes& bytes) {
    write(folder / "list.npy", bytes);
    const std::string text = data_error([&] { read_npy_integers(folder / "list.npy"); });
    EXPECT_MENTIONS(text, (folder / "list.npy").string());
    return text;
  };
  const std::string one = "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }";
  const Bytes eight(8);
  EXPECT_MENTIONS(error({}), "magic");
  EXPECT_MENTIONS(error(counted(300)), "magic");
  EXPECT_MENTIONS(error(npy(one, Bytes(7))), "7 bytes of data");
  EXPECT_MENTIONS(error(npy(one, Bytes(9))), "9 bytes of data");
  EXPECT_MENTIONS(error(npy(one, eight, 3)), "version 3");
  EXPECT_MENTIONS(error(npy("{'descr': '<i8', 'fortran_order': True, 'shape': (1,), }", eight)),
                  "Fortran");
  EXPECT_MENTIONS(error(npy("{'descr': '>i8', 'fortran_order': False, 'shape': (1,), }", eight)),
                  ">i8");
  EXPECT_MENTIONS(error(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", eight)),
                  "an array of <f8");
  EXPECT_MENTIONS(error(npy("{'descr': '<i8', 'fortran_order': False, 'shape': (1, 1), }", eight)),
                  "2 dimensions");
  EXPECT_MENTIONS(
      error(npy("{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999999999999,), }",
                eight)),
      "shape");
  EXPECT_MENTIONS(error(npy("garbage", eight)), "header");
  Bytes cut = npy(one, {});
  cut.resize(30);
  EXPECT_MENTIONS(error(cut), "truncated");
}

TEST(IndexList, PicksInOrderAndKeepsTheOfficialIds) {
  const TemporaryFolder folder;
  write_mnist(folder);
  write(folder / "list.npy", int32_list({3, 0}));
  DataOptions options;
  options.name = "mnist";
  options.root = folder.path();
  options.index_list = folder / "list.npy";
  const DatasetPair pair = open_datasets(options);
  ASSERT_EQ(pair.train->size(), 2);
  EXPECT_EQ(pair.train->source_id(0), 3);
  EXPECT_EQ(pair.train->label(0), 9);
  EXPECT_EQ(pair.train->source_id(1), 0);
  EXPECT_EQ(pair.train->image(1).pixels[3], 7);
  EXPECT_EQ(pair.test->size(), 2);  // the list is of training ids
  const auto error = [&](const std::vector<int32_t>& ids) {
    write(folder / "list.npy", int32_list(ids));
    return data_error([&] { open_datasets(options); });
  };
  EXPECT_MENTIONS(error({}), "empty list");
  EXPECT_MENTIONS(error({0, 4}), "id 4 at place 1, expected 0 to 3");
  EXPECT_MENTIONS(error({-1}), "id -1");
  EXPECT_MENTIONS(error({2, 1, 2}), "id 2 at place 2 is there already");
  options.index_list = folder / "absent.npy";
  EXPECT_MENTIONS(data_error([&] { open_datasets(options); }), "absent.npy: no such file");
}

TEST(Registry, RefusesUnknownNamesAndStrayFolders) {
  DataOptions options;
  options.name = "imagenet";
  EXPECT_MENTIONS(data_error([&] { open_datasets(options); }), "fashion_mnist, mnist, cifar10");
  options.name = "mnist";
  options.train = "/tmp";
  EXPECT_MENTIONS(data_error([&] { open_datasets(options); }), "only image_folder");
}

TEST(Registry, OptionsAreDeclaredOnceAndAgreeWithTheTable) {
  OptionTable table;
  DataOptions data;
  AugmentOptions augment;
  describe(table, data);
  describe(table, augment);
  ASSERT_NE(table.find("data.name"), nullptr);
  for (const DataSetRow& row : data_set_table())
    EXPECT_NE(table.find("data.name")->spec().doc.find(row.name), std::string::npos) << row.name;
  for (const char* name : {"data.root", "data.workers", "data.prefetch"})
    EXPECT_TRUE(table.find(name)->spec().safe_to_change) << name;
  EXPECT_FALSE(table.find("data.index_list")->spec().safe_to_change);
  EXPECT_EQ(table.find("augment.blur_sigma_max")->assign("1.5"), "");
  EXPECT_EQ(augment.blur_sigma_max, 1.5);
  EXPECT_NE(table.find("augment.hue")->assign("0.6"), "");
}

}  // namespace
}  // namespace cltrain
