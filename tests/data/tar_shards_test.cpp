// Tar shards as a data set: order, labels, samples, and what goes wrong with them.
#include "data/tar_shards.h"

#include "data/loader.h"
#include "data/open_shards.h"
#include "tar_files.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using testing::Bytes;
using testing::bytes_of;
using testing::data_error;
using testing::TarWriter;
using testing::TemporaryFolder;
using testing::write;

using Members = std::vector<std::pair<std::string, std::string>>;

void write_tar(const fs::path& path, const Members& members) {
  TarWriter tar;
  for (const auto& [name, data] : members) tar.add(name, data);
  tar.end();
  write(path, tar.bytes);
}

DatasetPair open(const fs::path& root) {
  return open_tar_shards(root.string(), "", "");
}

std::vector<int64_t> labels(const Dataset& dataset) {
  std::vector<int64_t> found;
  for (int64_t at = 0; at < dataset.size(); ++at) found.push_back(dataset.label(at));
  return found;
}

/// The samples' bytes as text, one after the other.
std::string contents(const Dataset& dataset) {
  std::string all;
  for (int64_t at = 0; at < dataset.size(); ++at) {
    const RawImage sample = dataset.raw(at);
    all += std::string(sample.encoded.begin(), sample.encoded.end()) + " ";
  }
  return all;
}

std::string kind(const Dataset& dataset, int64_t position) {
  try {
    dataset.raw(position);
  } catch (const BadSample& bad) {
    return bad.kind();
  }
  return "";
}

TEST(TarShards, FoldersAreClassesAndOrderIsThatOfShardsAndMembers) {
  const TemporaryFolder folder;
  write_tar(folder / "train/b.tar",
            {{"zebra/1.JPG", "z1"}, {"./ant//x/2.png", "a2"}, {"zebra/._1.jpg", "no"}});
  write_tar(folder / "train/B.tar", {{"Zoo/1.jpeg", "Z1"}, {"Zoo/readme.txt", "no"}});
  write_tar(folder / "train/.hidden.tar", {{"cat/1.jpg", "no"}});
  write_tar(folder / "train/a.tar", {{".git/1.jpg", "no"}, {"ant/1.jpg", "a1"}});
  write(folder / "train/a.tar.json", bytes_of("an index of somebody else's"));
  write_tar(folder / "val/v.tar", {{"zebra/9.jpg", "v9"}});
  const DatasetPair pair = open(folder.path());
  EXPECT_EQ(contents(*pair.train), "Z1 a1 z1 a2 ");
  EXPECT_EQ(labels(*pair.train), (std::vector<int64_t>{0, 1, 2, 1}));  // Zoo, ant, zebra
  EXPECT_EQ(pair.train->classes(), 3);
  EXPECT_MENTIONS(pair.train->describe(), "4 images in 3 shards, 3 classes");
  EXPECT_MENTIONS(pair.train->raw(3).name, "b.tar: ant/x/2.png (2 bytes at byte ");
  ASSERT_NE(pair.test, nullptr);
  EXPECT_EQ(labels(*pair.test), (std::vector<int64_t>{2}));
  EXPECT_EQ(pair.test->classes(), 3);
  EXPECT_EQ(pair.note, "");
}

TEST(TarShards, ClsMembersAreLabelsWhereverTheyLie) {
  const TemporaryFolder folder;
  write_tar(folder / "train/0.tar",
            {{"s/a.cls", "4"}, {"s/a.jpg", "a"}, {"s/b.png", "b"}, {"s/b.cls", " 0\n"}});
  write_tar(folder / "train/1.tar", {{"a.b.jpg", "c"}, {"a.b.cls", "2"}, {"t/lost.jpg", "d"}});
  write_tar(folder / "val/0.tar", {{"x.jpg", "v"}, {"x.cls", "3"}});
  const DatasetPair pair = open(folder.path());
  EXPECT_EQ(contents(*pair.train), "a b c ");
  EXPECT_EQ(labels(*pair.train), (std::vector<int64_t>{4, 0, 2}));
  EXPECT_EQ(pair.train->classes(), 5);
  EXPECT_MENTIONS(pair.note, "1 images without a .cls member");
  ASSERT_NE(pair.test, nullptr);
  EXPECT_EQ(labels(*pair.test), (std::vector<int64_t>{3}));
}

TEST(TarShards, WithoutLabelsSaysSo) {
  const TemporaryFolder folder;
  write_tar(folder / "0.tar", {{"a.jpg", "a"}, {"./b.jpg", "b"}});
  DatasetPair pair = open(folder.path());
  EXPECT_EQ(labels(*pair.train), (std::vector<int64_t>{-1, -1}));
  EXPECT_EQ(pair.train->classes(), 0);
  EXPECT_EQ(pair.test, nullptr);
  EXPECT_MENTIONS(pair.note, "neither .cls members nor class folders");
  write_tar(folder / "1.tar", {{"cat/a.jpg", "c"}});
  pair = open(folder.path());
  EXPECT_EQ(contents(*pair.train), "c ");
  EXPECT_MENTIONS(pair.note, "2 images outside of class folders");
  EXPECT_MENTIONS(pair.note, "data.val is not set");
}

TEST(TarShards, TakesFoldersOfTheirOwnByTheRegistry) {
  const TemporaryFolder folder;
  write_tar(folder / "here/0.tar", {{"cat/a.jpg", "a"}});
  write_tar(folder / "there/0.tar", {{"cat/b.jpg", "b"}});
  DataOptions options;
  options.name = "tar_shards";
  options.train = (folder / "here").string();
  options.val = (folder / "there").string();
  const DatasetPair pair = open_datasets(options);
  EXPECT_EQ(contents(*pair.train), "a ");
  ASSERT_NE(pair.test, nullptr);
  EXPECT_EQ(contents(*pair.test), "b ");
}

TEST(TarShards, RefusesWhatGivesNothingOrMakesNoSense) {
  const TemporaryFolder folder;
  EXPECT_MENTIONS(data_error([&] { open(""); }), "data.root is empty");
  EXPECT_MENTIONS(data_error([&] { open(folder / "absent"); }), "no such folder");
  EXPECT_MENTIONS(data_error([&] { open(folder.path()); }), "no .tar file in it");
  write_tar(folder / "x.tar", {{"notes.txt", "1"}});
  EXPECT_MENTIONS(data_error([&] { open(folder.path()); }), "no .jpg, .jpeg or .png member");
  write(folder / "y.tar.gz", bytes_of("1"));
  EXPECT_MENTIONS(data_error([&] { open(folder.path()); }), "unpack it to a .tar");
  fs::remove(folder / "y.tar.gz");
  for (const std::string label : {"cat", "", "-1", "1.5", "1 2", "10000000", "99999999999999999999",
                                  "000000000000000000000000000000000000000001"}) {
    write_tar(folder / "x.tar", {{"a.jpg", "1"}, {"a.cls", label}});
    EXPECT_MENTIONS(data_error([&] { open(folder.path()); }), "x.tar: at byte 1536: a.cls is no");
  }
  write_tar(folder / "x.tar", {{"a.jpg", "1"}, {"a.cls", "1"}, {"a.cls", "2"}});
  EXPECT_MENTIONS(data_error([&] { open(folder.path()); }), "a.cls is there a second time");
  TarWriter links;
  links.add("cat/a.jpg", "1");
  links.add("cat/b.jpg", "", '1');
  links.end();
  write(folder / "x.tar", links.bytes);
  EXPECT_MENTIONS(data_error([&] { open(folder.path()); }), "cat/b.jpg is a link");
}

TEST(TarShards, RefusesLabelsThatDoNotCompare) {
  const TemporaryFolder folder;
  write_tar(folder / "train/0.tar", {{"cat/a.jpg", "1"}});
  write_tar(folder / "val/0.tar", {{"dog/a.jpg", "1"}});
  EXPECT_MENTIONS(data_error([&] { open(folder.path()); }), "class dog is not among");
  write_tar(folder / "val/0.tar", {{"cat/a.jpg", "1"}, {"cat/a.cls", "0"}});
  EXPECT_MENTIONS(data_error([&] { open(folder.path()); }), "the other kind");
  write_tar(folder / "train/0.tar", {{"a.jpg", "1"}, {"a.cls", "3"}});
  write_tar(folder / "val/0.tar", {{"a.jpg", "1"}, {"a.cls", "4"}});
  EXPECT_MENTIONS(data_error([&] { open(folder.path()); }), "class 4 is not among");
}

TEST(TarShards, NameTheFirstDamagedShard) {
  const TemporaryFolder folder;
  for (int shard = 10; shard < 60; ++shard)
    write_tar(folder / (std::to_string(shard) + ".tar"), {{"cat/a.jpg", std::string(2000, 'x')}});
  for (const int shard : {41, 33, 52})
    fs::resize_file(folder / (std::to_string(shard) + ".tar"), 900);
  for (int round = 0; round < 20; ++round)
    EXPECT_MENTIONS(data_error([&] { open(folder.path()); }),
                    "/33.tar: at byte 0: cat/a.jpg: 2000");
}

TEST(TarShards, BadSamplesHaveTheirKind) {
  const TemporaryFolder folder;
  TarWriter tar;
  tar.add("cat/empty.jpg", "");
  tar.add("cat/good.jpg", "good");
  tar.end();
  write(folder / "a.tar", tar.bytes);
  write_tar(folder / "b.tar", {{"cat/later.jpg", std::string(3000, 'x')}});
  write_tar(folder / "c.tar", {{"cat/gone.jpg", "x"}});
  const DatasetPair pair = open(folder.path());
  EXPECT_EQ(kind(*pair.train, 0), "damaged");
  EXPECT_EQ(kind(*pair.train, 1), "");
  fs::resize_file(folder / "b.tar", 1000);
  fs::remove(folder / "c.tar");
  EXPECT_EQ(kind(*pair.train, 2), "unreadable");
  EXPECT_EQ(kind(*pair.train, 3), "unreadable");
  EXPECT_MENTIONS(data_error([&] { pair.train->raw(3); }), "c.tar: cat/gone.jpg (1 bytes at byte");
  EXPECT_THROW(pair.train->raw(4), std::out_of_range);
}

TEST(TarShards, AShardThatIsCutWhileItIsOpenGivesBadSamples) {
  const TemporaryFolder folder;
  write_tar(folder / "a.tar", {{"cat/1.jpg", "1"}, {"cat/2.jpg", std::string(9000, 'x')}});
  const DatasetPair pair = open(folder.path());
  EXPECT_EQ(pair.train->raw(1).encoded.size(), 9000u);
  fs::resize_file(folder / "a.tar", 2000);
  EXPECT_EQ(kind(*pair.train, 1), "unreadable");
  EXPECT_EQ(kind(*pair.train, 0), "");
}

TEST(TarShards, ManyMoreShardsThanDescriptors) {
  const TemporaryFolder folder;
  std::string expected;
  for (int shard = 100; shard < 400; ++shard) {
    write_tar(folder / (std::to_string(shard) + ".tar"), {{"cat/a.jpg", std::to_string(shard)}});
    expected += std::to_string(shard) + " ";
  }
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const auto open_now = std::distance(fs::directory_iterator("/proc/self/fd"), {});
  rlimit few = before;
  few.rlim_cur = static_cast<rlim_t>(open_now) + 40;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  {
    const DatasetPair pair = open(folder.path());
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread)
      threads.emplace_back([&, thread] {
        for (int64_t at = 0; at < 2000; ++at) {
          const int64_t position = (at * 7919 + thread * 131) % 300;
          const Bytes bytes = pair.train->raw(position).encoded;
          wrong += std::string(bytes.begin(), bytes.end()) != std::to_string(100 + position);
        }
      });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(contents(*pair.train), expected);
    EXPECT_LE(std::distance(fs::directory_iterator("/proc/self/fd"), {}),
              open_now + 1 + static_cast<long>(few.rlim_cur / 4));
  }
  EXPECT_EQ(std::distance(fs::directory_iterator("/proc/self/fd"), {}), open_now);
  ::setrlimit(RLIMIT_NOFILE, &before);
}

TEST(TarShards, GiveTheBatchesOfTheSameImageFolder) {
  const TemporaryFolder folder;
  TarWriter tar;
  const fs::path images = fs::path(CLTRAIN_TEST_FILES) / "golden/images";
  int64_t count = 0;
  for (const std::string name : {"cmyk.jpg", "colour.jpg", "grey.jpg", "grey16.png", "rgb.png"}) {
    const Bytes bytes = testing::read(images / name);
    const std::string path = (count++ % 2 ? "odd/" : "even/") + name;
    write(folder / ("plain/" + path), bytes);
  }
  for (const std::string group : {"even", "odd"})
    for (const std::string name : {"cmyk.jpg", "colour.jpg", "grey.jpg", "grey16.png", "rgb.png"})
      if (const fs::path path = folder / ("plain/" + group + "/" + name); fs::exists(path))
        tar.add(group + "/" + name, testing::read(path));
  tar.end();
  write(folder / "shards/0.tar", tar.bytes);
  DataOptions options;
  options.name = "image_folder";
  options.root = (folder / "plain").string();
  const DatasetPair plain = open_datasets(options);
  options.name = "tar_shards";
  options.root = (folder / "shards").string();
  const DatasetPair shards = open_datasets(options);
  AugmentOptions augment;
  augment.size = 16;
  LoaderOptions batches;
  batches.global_batch = 3;
  batches.workers = 2;
  Loader one(*plain.train, batches, augment), other(*shards.train, batches, augment);
  for (int step = 0; step < 6; ++step) {
    const Batch left = one.next(), right = other.next();
    EXPECT_TRUE(at::equal(left.labels, right.labels));
    EXPECT_TRUE(left.replaced.empty());
    for (const auto& [name, views] : left.tensors)
      EXPECT_TRUE(at::equal(views, right.tensors.at(name)));
  }
}

}  // namespace
}  // namespace cltrain
