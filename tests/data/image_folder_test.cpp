#include "data/image_folder.h"

#include "data/files.h"
#include "test_files.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using testing::Bytes;
using testing::data_error;
using testing::TemporaryFolder;
using testing::write;

Bytes picture(const std::string& name) {
  return testing::read(fs::path(CLTRAIN_TEST_FILES) / "golden" / "images" / name);
}

std::vector<int64_t> labels(const Dataset& dataset) {
  std::vector<int64_t> found;
  for (int64_t at = 0; at < dataset.size(); ++at) found.push_back(dataset.label(at));
  return found;
}

DatasetPair open(const fs::path& root) {
  return open_image_folders(root.string(), "", "");
}

TEST(ImageFolder, SubFoldersAreClassesInByteOrder) {
  const TemporaryFolder folder;
  const Bytes jpeg = picture("colour.jpg"), png = picture("rgb.png");
  write(folder / "train/zebra/b.JPG", jpeg);
  write(folder / "train/zebra/a.png", png);
  write(folder / "train/Zoo/deep/er/x.jpeg", jpeg);
  write(folder / "train/ant/1.jpg", jpeg);
  write(folder / "train/ant/notes.txt", {1});
  write(folder / "train/ant/.hidden.jpg", {1});
  write(folder / "train/.git/x.jpg", {1});
  write(folder / "train/empty/readme.md", {1});
  write(folder / "val/zebra/v.png", png);
  const DatasetPair pair = open(folder.path());
  EXPECT_EQ(pair.train->classes(), 3);
  EXPECT_EQ(labels(*pair.train), (std::vector<int64_t>{0, 1, 2, 2}));  // Zoo, ant, zebra
  EXPECT_EQ(pair.train->image(2).pixels, testing::golden_images("images/rgb.png")[0].pixels);
  ASSERT_NE(pair.test, nullptr);
  EXPECT_EQ(labels(*pair.test), (std::vector<int64_t>{2}));  // the training set's number of zebra
  EXPECT_EQ(pair.note, "");
}

TEST(ImageFolder, FlatFoldersHaveNoLabelsAndSaySo) {
  const TemporaryFolder folder;
  write(folder / "b.jpg", picture("grey.jpg"));
  write(folder / "a.png", picture("rgb.png"));
  const DatasetPair pair = open(folder.path());
  EXPECT_EQ(pair.train->classes(), 0);
  EXPECT_EQ(labels(*pair.train), (std::vector<int64_t>{-1, -1}));
  EXPECT_EQ(pair.train->image(0).pixels, testing::golden_images("images/rgb.png")[0].pixels);
  EXPECT_EQ(pair.test, nullptr);
  EXPECT_MENTIONS(pair.note, "Evaluation by labels is off");
}

TEST(ImageFolder, WithoutEvaluationImagesSaysSo) {
  const TemporaryFolder folder;
  write(folder / "cat/1.png", picture("rgb.png"));
  write(folder / "loose.png", picture("rgb.png"));
  const DatasetPair pair = open(folder.path());
  EXPECT_EQ(labels(*pair.train), (std::vector<int64_t>{0}));
  EXPECT_EQ(pair.test, nullptr);
  EXPECT_MENTIONS(pair.note, "data.val is not set");
  EXPECT_MENTIONS(pair.note, "1 images beside the class folders");
}

TEST(ImageFolder, TakesFoldersOfTheirOwn) {
  const TemporaryFolder folder;
  write(folder / "here/cat/1.png", picture("rgb.png"));
  write(folder / "there/cat/1.png", picture("rgb.png"));
  const DatasetPair pair =
      open_image_folders("", (folder / "here").string(), (folder / "there").string());
  EXPECT_EQ(pair.train->size(), 1);
  ASSERT_NE(pair.test, nullptr);
}

TEST(ImageFolder, RefusesFoldersThatGiveNothing) {
  const TemporaryFolder folder;
  EXPECT_MENTIONS(data_error([&] { open(""); }), "data.root is empty");
  EXPECT_MENTIONS(data_error([&] { open(folder / "absent"); }), "no such folder");
  EXPECT_MENTIONS(data_error([&] { open(folder.path()); }), "no .jpg, .jpeg or .png file");
  write(folder / "file", {1});
  EXPECT_MENTIONS(data_error([&] { open(folder / "file"); }), "is not a folder");
  write(folder / "val/cat/1.png", picture("rgb.png"));
  EXPECT_MENTIONS(data_error([&] { open(folder.path()); }), "holds val/ but no train/");
  write(folder / "train/dog/1.png", picture("rgb.png"));
  EXPECT_MENTIONS(data_error([&] { open(folder.path()); }), "no class of this name");
}

TEST(ImageFolder, NamesTheDamagedFile) {
  const TemporaryFolder folder;
  Bytes cut = picture("colour.jpg");
  cut.resize(cut.size() / 2);
  write(folder / "cat/bad.jpg", cut);
  write(folder / "cat/empty.png", {});
  write(folder / "cat/garbage.png", Bytes(100, 7));
  const DatasetPair pair = open(folder.path());
  for (int64_t at = 0; at < 3; ++at) {
    const std::string name = std::vector<std::string>{"bad.jpg", "empty.png", "garbage.png"}[at];
    EXPECT_MENTIONS(data_error([&] { pair.train->image(at); }),
                    (folder / "cat").string() + "/" + name);
  }
  fs::remove(folder / "cat/bad.jpg");
  EXPECT_MENTIONS(data_error([&] { pair.train->image(0); }), "bad.jpg: no such file");
}

TEST(ImageFolder, HandsOutFilesAsTheyAreAndBadOnesWithTheirKind) {
  const TemporaryFolder folder;
  const Bytes jpeg = picture("colour.jpg");
  for (const std::string name : {"1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"})
    write(folder / name, jpeg);
  const DatasetPair pair = open(folder.path());
  const RawImage raw = pair.train->raw(0);
  EXPECT_EQ(raw.encoded, jpeg);
  EXPECT_TRUE(raw.pixels.pixels.empty());
  EXPECT_EQ(raw.name, (folder / "1.jpg").string());
  const auto kind = [&](int64_t position) -> std::string {
    try {
      pair.train->raw(position);
    } catch (const BadSample& bad) {
      EXPECT_MENTIONS(std::string(bad.what()), std::to_string(position + 1) + ".jpg");
      return bad.kind();
    }
    return "";
  };
  fs::remove(folder / "2.jpg");
  write(folder / "3.jpg", {});
  fs::remove(folder / "4.jpg");
  fs::create_directory(folder / "4.jpg");
  fs::resize_file(folder / "5.jpg", (uint64_t{1} << 29) + 1);  // sparse
  EXPECT_EQ(kind(0), "");
  EXPECT_EQ(kind(1), "unreadable");
  EXPECT_EQ(kind(2), "damaged");
  EXPECT_EQ(kind(3), "unreadable");
  EXPECT_EQ(kind(4), "too_large");
}

TEST(ReadSample, RunningOutOfDescriptorsIsNoFaultOfTheSample) {
  const TemporaryFolder folder;
  write(folder / "a.jpg", {1});
  EXPECT_EQ(read_sample(folder / "a.jpg", 1).size(), 1u);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  std::string text;
  bool bad_sample = false;
  try {
    read_sample(folder / "a.jpg", 1);
  } catch (const DataError& error) {
    text = error.what();
    bad_sample = dynamic_cast<const BadSample*>(&error) != nullptr;
  }
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_FALSE(bad_sample);
  EXPECT_MENTIONS(text, "ulimit -n");
}

}  // namespace
}  // namespace cltrain
