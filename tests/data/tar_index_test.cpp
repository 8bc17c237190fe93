// Tars of several writers, and every kind of damage: an index is right or refused.
#include "data/tar_index.h"

#include "data/dataset.h"
#include "tar_files.h"

#include <map>
#include <string>
#include <system_error>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using testing::Bytes;
using testing::bytes_of;
using testing::data_error;
using testing::TarWriter;
using testing::TemporaryFolder;
using testing::write;

std::vector<TarMember> members_of(const fs::path& path) {
  const ShardFile file(path);
  std::vector<TarMember> members;
  walk_tar(file, [&](const TarMember& member) { members.push_back(member); });
  return members;
}

std::string content(const fs::path& path, const TarMember& member) {
  const ShardFile file(path);
  std::string bytes(member.size, '\0');
  file.read(member.offset, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
  return bytes;
}

/// Not over the old file: some file systems bring that to disk each time.
void write_anew(const fs::path& path, const Bytes& bytes) {
  fs::remove(path);
  write(path, bytes);
}

/// What walking these bytes throws.
std::string refusal(const Bytes& bytes) {
  const TemporaryFolder folder;
  write(folder / "x.tar", bytes);
  return data_error([&] { members_of(folder / "x.tar"); });
}

/// MEMBERS of make_golden_tars.py.
std::vector<std::pair<std::string, std::string>> golden_members() {
  const std::string long_folder = "a-class-with-a-long-name/" + std::string(60, 'd') + "/" +
                                  std::string(60, 'e') + "/" + std::string(40, 'f');
  std::string second;
  for (int i = 0; i < 200; ++i) second += "second";
  return {{"cat/1.jpg", "first"},
          {long_folder + "/second.png", second},
          {"cat/" + std::string(120, 'n') + ".jpeg", "third"},
          {"dög/ünicode.jpg", ""},
          {"dog/5.cls", "5\n"},
          {"dog/5.jpg", std::string(512, 'x')}};
}

TEST(TarIndex, ReadsTheTarsOfOtherWriters) {
  for (const std::string name :
       {"python_gnu", "python_pax", "python_ustar", "tar_gnu", "tar_posix"}) {
    const fs::path path = fs::path(CLTRAIN_TEST_FILES) / "golden/tars" / (name + ".tar");
    std::vector<std::pair<std::string, std::string>> found;
    for (const TarMember& member : members_of(path)) {
      if (member.type == '5') continue;  // GNU tar was given a folder, too
      EXPECT_EQ(member.type, '0');
      const bool dotted = member.name.starts_with("./");
      EXPECT_EQ(dotted, name.starts_with("tar_"));
      found.emplace_back(member.name.substr(dotted ? 2 : 0), content(path, member));
    }
    auto expected = golden_members();
    if (name == "python_ustar") expected.erase(expected.begin() + 2);
    EXPECT_EQ(found, expected) << name;
  }
}

TEST(TarIndex, ReadsV7AndLargeSizesAndAnyOrderOfExtensions) {
  const TemporaryFolder folder;
  TarWriter tar(TarWriter::Magic::kNone);
  tar.add("folder/", "", '\0');
  tar.add("a", "one", '\0');
  tar.add("b", bytes_of("four"), '0', TarWriter::base256(4));
  tar.add_pax("comment", "of everything", 'g');
  tar.add_pax("size", "5");
  tar.add_pax("path", "long/c");
  tar.add("c", bytes_of("fives"), '0', TarWriter::octal(0, 11));
  tar.add("././@LongLink", "target", 'K');
  tar.add("link", "", '2');
  tar.add("d", bytes_of("six666"), '7', "      6 ");
  tar.end();
  write(folder / "x.tar", tar.bytes);
  std::vector<std::string> found;
  for (const TarMember& member : members_of(folder / "x.tar"))
    found.push_back(member.type + member.name + "=" + content(folder / "x.tar", member));
  EXPECT_EQ(found, (std::vector<std::string>{"5folder/=", "0a=one", "0b=four", "0long/c=fives",
                                             "2link=", "0d=six666"}));
}

TEST(TarIndex, TheirPrefixIsNotAPathInGnuTars) {
  for (const auto magic : {TarWriter::Magic::kPosix, TarWriter::Magic::kGnu}) {
    const TemporaryFolder folder;
    TarWriter tar(magic);
    tar.add("a", {}, '0', "", "front");
    tar.end();
    write(folder / "x.tar", tar.bytes);
    EXPECT_EQ(members_of(folder / "x.tar").at(0).name,
              magic == TarWriter::Magic::kPosix ? "front/a" : "a");
  }
}

TEST(TarIndex, GoesBeyondTheSizesOfOctalFields) {
  // 9 GiB of nothing: the file is sparse.
  const TemporaryFolder folder;
  constexpr uint64_t kHuge = uint64_t{9} << 30;
  TarWriter head, tail;
  head.add("huge.bin", {}, '0', TarWriter::base256(kHuge));
  tail.add("small.jpg", "here");
  tail.end();
  write(folder / "x.tar", head.bytes);
  std::error_code error;
  fs::resize_file(folder / "x.tar", 512 + kHuge, error);
  if (error) GTEST_SKIP() << "no sparse files of 9 GiB here: " << error.message();
  {
    std::ofstream file(folder / "x.tar", std::ios::binary | std::ios::app);
    file.write(reinterpret_cast<const char*>(tail.bytes.data()),
               static_cast<std::streamsize>(tail.bytes.size()));
  }
  const auto members = members_of(folder / "x.tar");
  ASSERT_EQ(members.size(), 2u);
  EXPECT_EQ(members[0].size, kHuge);
  EXPECT_EQ(content(folder / "x.tar", members[1]), "here");
}

TEST(TarIndex, RefusesEveryTruncation) {
  TarWriter tar;
  tar.add("a/1.jpg", "one");
  tar.add_pax("path", "b/2.jpg");
  tar.add("x", std::string(700, 'y'));
  const size_t end_mark = tar.bytes.size();
  tar.end();
  const TemporaryFolder folder;
  for (size_t size = 0; size < tar.bytes.size(); ++size) {
    write_anew(folder / "x.tar",
               Bytes(tar.bytes.begin(), tar.bytes.begin() + static_cast<long>(size)));
    if (size >= end_mark + 512) {  // the mark is there; some padding is missing
      EXPECT_EQ(members_of(folder / "x.tar").size(), 2u);
      continue;
    }
    const std::string text = data_error([&] { members_of(folder / "x.tar"); });
    EXPECT_MENTIONS(text, (folder / "x.tar").string() + ": at byte ");
    EXPECT_MENTIONS(text, "truncated");
  }
}

TEST(TarIndex, SaysWhatIsWrongAndWhere) {
  const auto one = [](auto&&... arguments) {
    TarWriter tar;
    tar.add("first", "1");
    tar.add(arguments...);
    tar.end();
    return refusal(tar.bytes);
  };
  EXPECT_MENTIONS(one("a.jpg", Bytes{}, '0', "00007777777 "),
                  "at byte 1024: a.jpg: 2097151 bytes from byte 1536 on");
  EXPECT_MENTIONS(one("a.jpg", Bytes{}, '0', "0000000x000 "), "a.jpg: its size is no number");
  EXPECT_MENTIONS(one("a.jpg", Bytes{}, '0', "-0000000001 "), "its size is no number");
  EXPECT_MENTIONS(one("a.jpg", Bytes{}, '0', std::string(12, '\xff')), "its size is no number");
  EXPECT_MENTIONS(one("a.jpg", Bytes{}, '0', '\x80' + std::string(11, '\xff')), "no number");
  EXPECT_MENTIONS(one("a.jpg", Bytes{}, '0', TarWriter::base256(~uint64_t{0} >> 1)), "truncated");
  EXPECT_MENTIONS(one("", Bytes{}), "without a name");
  EXPECT_MENTIONS(one("a.jpg", Bytes{}, 'S'), "sparse");
  EXPECT_MENTIONS(one("long", Bytes((1 << 20) + 1, 'n'), 'L'), "1048577 bytes, at most 1048576");
  for (const std::string records : {"x path=a\n", "3 path=a\n", "99 path=a\n", "9 path=ab\n",
                                    "7 path\n", "99999999999999999999 "})
    EXPECT_MENTIONS(one("pax", bytes_of(records), 'x'), "pax header");
  EXPECT_MENTIONS(one("pax", bytes_of("11 size=-1\n"), 'x'), "size is no number");
  EXPECT_MENTIONS(one("pax", bytes_of("22 GNU.sparse.major=1\n"), 'x'), "sparse");
  EXPECT_MENTIONS(one("pax", bytes_of("10 path=a\n"), 'g'), "global pax header");

  TarWriter tar;
  tar.add("a.jpg", "1");
  Bytes changed = tar.bytes;
  changed[3] ^= 1;
  EXPECT_MENTIONS(refusal(changed), "at byte 0: no tar header");
  tar.end();
  Bytes twice = tar.bytes;
  twice.insert(twice.end(), tar.bytes.begin(), tar.bytes.end());
  EXPECT_MENTIONS(refusal(twice), "at byte 2048: data behind the end-of-archive mark");
}

TEST(TarIndex, RefusesCompressedTars) {
  TarWriter tar;
  tar.add("a.jpg", "1");
  tar.end();
  EXPECT_MENTIONS(refusal(testing::gzip(tar.bytes)), "compressed with gzip");
  EXPECT_MENTIONS(refusal(bytes_of("\x28\xb5\x2f\xfd rest")), "compressed with zstd");
  EXPECT_MENTIONS(refusal(bytes_of("\xfd"
                                   "7zXZ rest")),
                  "compressed with xz");
  EXPECT_MENTIONS(refusal(bytes_of("BZh91AY rest")), "compressed with bzip2");
}

TEST(TarIndex, SurvivesAnyChangedBytes) {
  TarWriter tar(TarWriter::Magic::kGnu);
  tar.add("long", std::string(300, 'n'), 'L');
  tar.add("n", "data");
  tar.add_pax("path", "p/q.jpg");
  tar.add("x", std::string(600, 'z'));
  tar.end();
  const TemporaryFolder folder;
  uint64_t state = 1;
  const auto next = [&](uint64_t bound) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % bound;
  };
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    Bytes bytes = tar.bytes;
    // Headers are mended after the change, or the checksum would hide all that lies behind it.
    const size_t header = 512 * next(bytes.size() / 512);
    for (uint64_t change = 0; change <= next(3); ++change)
      bytes[header + (next(2) ? 124 + next(33) : next(512))] = static_cast<uint8_t>(next(256));
    uint64_t sum = 0;
    for (size_t at = 0; at < 512; ++at) sum += at >= 148 && at < 156 ? ' ' : bytes[header + at];
    const std::string digits = TarWriter::octal(sum, 6);
    std::copy(digits.begin(), digits.end(), bytes.begin() + static_cast<long>(header) + 148);
    write_anew(folder / "x.tar", bytes);
    try {
      for (const TarMember& member : members_of(folder / "x.tar"))
        EXPECT_LE(member.offset + member.size, bytes.size());
    } catch (const DataError& error) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 500);
  EXPECT_LT(refused, 3000);
}

TEST(ShardFile, SaysWhyItCannotBeOpened) {
  const TemporaryFolder folder;
  EXPECT_THROW(ShardFile(folder / "absent"), std::system_error);
  EXPECT_MENTIONS(data_error([&] { ShardFile file(folder.path()); }), "not a regular file");
  write(folder / "short", {1, 2, 3});
  const ShardFile file(folder / "short");
  Bytes bytes(2);
  file.read(1, bytes);
  EXPECT_EQ(bytes, (Bytes{2, 3}));
  EXPECT_MENTIONS(data_error([&] { file.read(2, bytes); }), "ends at byte 3");
}

}  // namespace
}  // namespace cltrain
