// Files cut short, with bits turned, and with headers that lie: each must decode or be refused as a
// BadSample, quickly and without touching memory that is not its own (run once with
// -fsanitize=address,undefined whenever a decoder changes).
#include "data/decode.h"
#include "data/views.h"
#include "jpeg_files.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <zlib.h>

namespace cltrain {
namespace {

using testing::Bytes;

struct File {
  std::string name;
  Bytes bytes;
  bool png() const { return bytes[0] == 0x89; }
};

/// All golden files, and JPEGs of every kind with an EXIF segment.
std::vector<File> good_files() {
  std::vector<File> files;
  const auto folder = std::filesystem::path(CLTRAIN_TEST_FILES) / "golden" / "images";
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() != ".npy")
      files.push_back({entry.path().filename().string(), testing::read(entry.path())});
  std::sort(files.begin(), files.end(),
            [](const File& one, const File& other) { return one.name < other.name; });
  for (testing::JpegKind kind : testing::jpeg_kinds()) {
    kind.orientation = 6;
    files.push_back({kind.name, testing::write_jpeg(testing::photo(45, 61), kind)});
  }
  return files;
}

/// How often each thing happened: "good" or a kind of BadSample.
using Outcomes = std::map<std::string, int>;

/// Decodes whole, and through make_views: a part, reduced. `bytes` is copied to its exact length,
/// so that a sanitizer sees the first byte too far.
void attempt(const Bytes& bytes, const std::string& name, Outcomes& outcomes) {
  const std::vector<uint8_t> exact(bytes);
  std::string whole = "good", views = "good";
  try {
    const Image image = decode_image(exact, name);
    ASSERT_EQ(image.pixels.size(), static_cast<size_t>(3 * image.height * image.width)) << name;
  } catch (const BadSample& bad) {
    whole = bad.kind();
    ASSERT_TRUE(std::string(bad.what()).starts_with(name)) << bad.what();
  }
  try {
    AugmentOptions options;
    options.size = 7;
    std::vector<float> view(3 * 7 * 7);
    float* outs[] = {view.data()};
    make_views({.encoded = exact, .name = name}, options,
               random_key(1, Purpose::kAugmentation, bytes.size()), bytes.size(), outs);
  } catch (const BadSample& bad) {
    views = bad.kind();
  }
  // Views look at a part only, so they may pass where the whole does not; not the other way.
  if (whole == "good") {
    ASSERT_EQ(views, "good") << name;
  }
  ++outcomes[whole];
}

/// Corrects all checksums of a PNG, so that damage reaches what lies behind them.
void correct_checksums(Bytes& png) {
  size_t at = 8;
  while (at + 12 <= png.size()) {
    size_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | png[at + i];
    if (length > png.size() - at - 12) return;
    const auto sum = static_cast<uint32_t>(crc32(0, &png[at + 4], static_cast<uInt>(length + 4)));
    for (size_t i = 0; i < 4; ++i)
      png[at + 8 + length + i] = static_cast<uint8_t>(sum >> (24 - 8 * i));
    at += 12 + length;
  }
}

TEST(DamagedImages, CutAtEveryLengthAreDamaged) {
  for (const File& file : good_files()) {
    Outcomes outcomes;
    int cuts = 0;
    for (size_t length = 0; length + 12 < file.bytes.size(); length += 1 + length / 60, ++cuts)
      attempt(Bytes(file.bytes.begin(), file.bytes.begin() + static_cast<int64_t>(length)),
              file.name, outcomes);
    EXPECT_EQ(outcomes, (Outcomes{{"damaged", cuts}})) << file.name;
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(DamagedImages, WithTurnedBitsDecodeOrAreRefused) {
  std::mt19937 generator(2);
  Outcomes outcomes;
  for (const File& file : good_files())
    for (int trial = 0; trial < 200; ++trial) {
      Bytes bad = file.bytes;
      for (int change = 0; change <= trial % 4; ++change) {
        // Half of the changes hit the first 200 bytes: tables and sizes.
        const size_t reach = trial % 2 ? bad.size() : std::min<size_t>(bad.size(), 200);
        bad[generator() % reach] ^= static_cast<uint8_t>(1u << generator() % 8);
      }
      if (file.png() && trial % 3 > 0) correct_checksums(bad);
      attempt(bad, file.name, outcomes);
      if (::testing::Test::HasFatalFailure()) return;
    }
  EXPECT_GT(outcomes["good"], 500);
  EXPECT_GT(outcomes["damaged"], 1000);
  EXPECT_GT(outcomes["unsupported"], 20);
}

TEST(DamagedImages, WithRandomBytesDecodeOrAreRefused) {
  std::mt19937 generator(3);
  Outcomes outcomes;
  for (const File& file : good_files())
    for (int trial = 0; trial < 60; ++trial) {
      Bytes bad = file.bytes;
      const size_t begin = generator() % bad.size(), count = 1 + generator() % 40;
      for (size_t at = begin; at < std::min(bad.size(), begin + count); ++at)
        bad[at] = static_cast<uint8_t>(trial % 3 ? generator() : (trial % 2 ? 0xFF : 0));
      if (trial % 5 == 0) bad.erase(bad.begin() + static_cast<int64_t>(begin));
      if (file.png()) correct_checksums(bad);
      attempt(bad, file.name, outcomes);
      if (::testing::Test::HasFatalFailure()) return;
    }
  EXPECT_GT(outcomes["damaged"], 500);
}

/// Sizes in headers that the data does not hold. None may cost the memory it declares.
TEST(DamagedImages, WithSizesThatLieAreRefusedEarly) {
  const auto start = std::chrono::steady_clock::now();
  Outcomes outcomes;
  for (const File& file : good_files())
    for (const uint32_t side : {0u, 1u, 5000u, 16383u, 16384u, 65500u}) {
      Bytes bad = file.bytes;
      if (file.png()) {
        for (size_t i = 0; i < 4; ++i)
          bad[16 + i] = bad[20 + i] = static_cast<uint8_t>(side >> (24 - 8 * i));
        correct_checksums(bad);
      } else {
        size_t frame = 2;
        while (bad[frame + 1] < 0xC0 || bad[frame + 1] > 0xC2)
          frame += 2 + (size_t{bad[frame + 2]} << 8 | bad[frame + 3]);
        bad[frame + 5] = bad[frame + 7] = static_cast<uint8_t>(side >> 8);
        bad[frame + 6] = bad[frame + 8] = static_cast<uint8_t>(side);
      }
      if (side >= 5000) {
        try {
          open_image(bad, file.name);
          ADD_FAILURE() << file.name << " of " << side << " was opened";
        } catch (const BadSample& refused) {
          EXPECT_EQ(refused.kind(), side > 16384 ? "too_large" : "damaged") << file.name;
        }
      }
      attempt(bad, file.name, outcomes);
    }
  EXPECT_GT(outcomes["too_large"], 30);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_LT(seconds.count(), 60);  // a lie believed would take minutes
}

/// The first scan, which may be sent again, many times over.
TEST(DamagedImages, JpegWithEndlessScansIsRefused) {
  testing::JpegKind kind;
  kind.progressive = true;
  const Bytes good = testing::write_jpeg(testing::photo(64, 64), kind);
  size_t scan = 2;
  while (!(good[scan] == 0xFF && good[scan + 1] == 0xDA)) ++scan;
  size_t end = scan + 2;
  while (!(good[end] == 0xFF && good[end + 1] != 0)) ++end;
  const auto with_scans = [&](int extra) {
    Bytes bytes(good.begin(), good.begin() + static_cast<int64_t>(end));
    for (int at = 0; at < extra; ++at)
      bytes.insert(bytes.end(), good.begin() + static_cast<int64_t>(scan),
                   good.begin() + static_cast<int64_t>(end));
    bytes.insert(bytes.end(), good.begin() + static_cast<int64_t>(end), good.end());
    return bytes;
  };
  EXPECT_EQ(decode_image(with_scans(80), "x.jpg").pixels, decode_image(good, "x.jpg").pixels);
  try {
    decode_image(with_scans(kMostScans), "x.jpg");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const BadSample& bad) {
    EXPECT_EQ(bad.kind(), "unsupported");
    EXPECT_MENTIONS(std::string(bad.what()), "more than 100 scans");
  }
}

/// A text chunk that unpacks to 256 MB is passed over; pixels that do not follow are damage.
TEST(DamagedImages, PngWithHugeChunksTakesNoMemory) {
  const Bytes zeros(size_t{1} << 28);
  Bytes packed(compressBound(zeros.size()));
  uLongf packed_size = packed.size();
  ASSERT_EQ(compress2(packed.data(), &packed_size, zeros.data(), zeros.size(), 1), Z_OK);
  packed.resize(packed_size);
  for (const char* kind : {"zTXt", "iCCP"}) {
    const auto good =
        testing::read(std::filesystem::path(CLTRAIN_TEST_FILES) / "golden" / "images" / "rgb.png");
    Bytes chunk = {0, 0, 0, 0};
    chunk.insert(chunk.end(), kind, kind + 4);
    chunk.insert(chunk.end(), {'a', 0, 0});
    chunk.insert(chunk.end(), packed.begin(), packed.end());
    const size_t length = chunk.size() - 8;
    for (size_t i = 0; i < 4; ++i) chunk[i] = static_cast<uint8_t>(length >> (24 - 8 * i));
    chunk.resize(chunk.size() + 4);
    Bytes bomb(good);
    bomb.insert(bomb.begin() + 33, chunk.begin(), chunk.end());  // behind IHDR
    correct_checksums(bomb);
    const Image image = decode_image(bomb, "bomb.png");
    EXPECT_EQ(image.pixels, decode_image(good, "good.png").pixels) << kind;
  }
}

}  // namespace
}  // namespace cltrain
