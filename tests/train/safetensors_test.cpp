// safetensors: round trips, a file written by hand byte by byte, and files that must be refused.
#include "train/safetensors.h"

#include "ops/keyed_random.h"
#include "tests/train/folder.h"
#include "train/files.h"

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::error_of;
using testing::mentions;
using testing::TemporaryFolder;

/// 8 bytes of length, the header, the data.
std::string file_of(const std::string& header, const std::string& data) {
  std::string text;
  for (int byte = 0; byte < 8; ++byte)
    text += static_cast<char>((header.size() >> (8 * byte)) & 0xff);
  return text + header + data;
}

std::map<std::string, at::Tensor> read_back(const std::filesystem::path& path) {
  std::map<std::string, at::Tensor> all;
  for (auto& [name, tensor] : read_safetensors(path)) all[name] = tensor;
  return all;
}

/// What the reader says of a file with this content; fails if it accepts it.
std::string refusal(const std::string& content) {
  const TemporaryFolder folder;
  testing::write_text(folder / "bad.safetensors", content);
  const std::string text =
      error_of<CheckpointError>([&] { read_safetensors(folder / "bad.safetensors"); });
  EXPECT_TRUE(mentions(text, "bad.safetensors")) << text;
  return text;
}

TEST(Safetensors, EveryTypeComesBackBitForBit) {
  const TemporaryFolder folder;
  std::vector<NamedTensor> tensors;
  const at::Tensor numbers = (at::arange(24, at::kDouble) * 1.37 - 11).view({2, 3, 4});
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong,
                                    at::kInt, at::kByte, at::kBool})
    tensors.emplace_back(c10::toString(type), numbers.abs().to(type));
  tensors.emplace_back("negative", (numbers * 1e10).to(at::kLong));
  tensors.emplace_back("scalar", at::full({}, 42, at::kLong));
  tensors.emplace_back("empty", at::zeros({0, 3}, at::kFloat));
  tensors.emplace_back("also_empty", at::zeros({0}, at::kDouble));
  tensors.emplace_back("transposed", numbers.transpose(0, 2));
  tensors.emplace_back("odd \"name\"/\n\xc3\xa9", at::full({3}, 7, at::kByte));
  write_safetensors(folder / "all", tensors, {{"format", "pt"}});
  const auto found = read_back(folder / "all");
  ASSERT_EQ(found.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    ASSERT_TRUE(found.count(name)) << name;
    EXPECT_EQ(found.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_EQ(found.at(name).sizes(), tensor.sizes()) << name;
    EXPECT_TRUE(at::equal(found.at(name), tensor)) << name;
  }
}

TEST(Safetensors, NansInfinitiesAndNegativeZerosKeepTheirBits) {
  const TemporaryFolder folder;
  const std::vector<uint64_t> bits{0x7ff8000000000123, 0xfff0000000000000, 0x8000000000000000, 1};
  at::Tensor tensor = at::empty({4}, at::kDouble);
  std::memcpy(tensor.data_ptr(), bits.data(), 32);
  write_safetensors(folder / "bits", {{"x", tensor}});
  const auto found = read_back(folder / "bits");
  EXPECT_EQ(std::memcmp(found.at("x").const_data_ptr(), bits.data(), 32), 0);
}

TEST(Safetensors, ReadsAFileWrittenByHand) {
  const TemporaryFolder folder;
  const std::string header =
      R"({"__metadata__":{"who":"me"},"b":{"dtype":"I64","shape":[2],"data_offsets":[4,20]},)"
      R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
      R"("none":{"dtype":"F32","shape":[3,0],"data_offsets":[4,4]}})";
  std::string data("\x00\x00\xc0\x3f", 4);  // 1.5
  data += std::string("\x01\x00\x00\x00\x00\x00\x00\x00", 8);
  data += std::string("\xfe\xff\xff\xff\xff\xff\xff\xff", 8);
  testing::write_text(folder / "hand", file_of(header, data));
  const auto found = read_back(folder / "hand");
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found.at("a").dim(), 0);
  EXPECT_EQ(found.at("a").item<float>(), 1.5f);
  EXPECT_TRUE(at::equal(found.at("b"), at::tensor(std::vector<int64_t>{1, -2})));
  EXPECT_EQ(found.at("none").sizes(), (std::vector<int64_t>{3, 0}));
}

TEST(Safetensors, WritesTheBytesOfTheFormat) {
  const TemporaryFolder folder;
  write_safetensors(folder / "x",
                    {{"b", at::full({2}, 3, at::kByte)}, {"a", at::full({1, 1}, 1.5, at::kFloat)}});
  std::string header = R"({"a":{"data_offsets":[0,4],"dtype":"F32","shape":[1,1]},)"
                       R"("b":{"data_offsets":[4,6],"dtype":"U8","shape":[2]}})";
  while (header.size() % 8 != 0) header += ' ';
  EXPECT_EQ(testing::read_text(folder / "x"),
            file_of(header, std::string("\x00\x00\xc0\x3f\x03\x03", 6)));
}

TEST(Safetensors, NoTensorsAreAFile) {
  const TemporaryFolder folder;
  write_safetensors(folder / "none", {});
  EXPECT_TRUE(read_safetensors(folder / "none").empty());
}

TEST(Safetensors, WriterRefusesWhatTheReaderCouldNotRead) {
  const TemporaryFolder folder;
  const at::Tensor x = at::zeros({2});
  EXPECT_THROW(write_safetensors(folder / "x", {{"same", x}, {"same", x}}), c10::Error);
  EXPECT_THROW(write_safetensors(folder / "x", {{"c", at::zeros({2}, at::kComplexFloat)}}),
               c10::Error);
  EXPECT_THROW(write_safetensors(folder / "no" / "folder", {{"x", x}}), IoError);
}

const char* const kOne = R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})";

TEST(SafetensorsRefuses, ShortAndLongFiles) {
  const std::string good = file_of(kOne, "abcd");
  for (size_t length = 0; length < good.size(); ++length) refusal(good.substr(0, length));
  EXPECT_TRUE(mentions(refusal(good + "e"), "4 bytes, the file has 5"));
  EXPECT_TRUE(mentions(refusal(""), "shorter"));
}

TEST(SafetensorsRefuses, HeadersThatClaimTooMuch) {
  EXPECT_TRUE(mentions(refusal(std::string(8, '\xff') + kOne), "claims"));
  EXPECT_TRUE(
      mentions(refusal(std::string("\x00\x00\x00\x00\x00\x00\x00\x80", 8) + kOne), "claims"));
  EXPECT_TRUE(
      mentions(refusal(std::string("\xff\x00\x00\x00\x00\x00\x00\x00", 8) + kOne), "claims"));
}

TEST(SafetensorsRefuses, MalformedHeaders) {
  for (const char* header : {"",
                             "{",
                             "[]",
                             "null",
                             "7",
                             "\"x\"",
                             "{\"x\":3}",
                             "{\"x\":{}}",
                             "{} {}",
                             "{\"x\":[]}",
                             R"({"x":{"dtype":"U8","shape":[4]}})",
                             R"({"x":{"dtype":5,"shape":[4],"data_offsets":[0,4]}})",
                             R"({"x":{"dtype":"U8","shape":4,"data_offsets":[0,4]}})",
                             R"({"x":{"dtype":"U8","shape":null,"data_offsets":[0,1]}})",
                             R"({"x":{"dtype":"U8","shape":{"a":4},"data_offsets":[0,4]}})",
                             R"({"x":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}})",
                             R"({"x":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}})",
                             R"({"x":{"dtype":"U8","shape":["4"],"data_offsets":[0,4]}})",
                             R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0]}})",
                             R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4,4]}})",
                             R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[-1,3]}})",
                             R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0.0,4]}})",
                             R"({"x":{"dtype":"U8","shape":[4],"data_offsets":{"a":0,"b":4}}})",
                             "\xff\xfe{}"}) {
    SCOPED_TRACE(header);
    refusal(file_of(header, "abcd"));
  }
}

TEST(SafetensorsRefuses, OffsetsThatDoNotCoverTheData) {
  const auto two = [](const char* a, const char* b) {
    return refusal(file_of(std::string(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)") + a +
                               R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" + b + "}}",
                           "abcdef"));
  };
  EXPECT_TRUE(mentions(two("[0,2]", "[1,3]"), "overlap"));
  EXPECT_TRUE(mentions(two("[0,2]", "[0,2]"), "overlap"));
  EXPECT_TRUE(mentions(two("[0,2]", "[4,6]"), "hole"));
  EXPECT_TRUE(mentions(two("[2,4]", "[4,6]"), "hole"));
  EXPECT_TRUE(mentions(two("[0,2]", "[2,4]"), "4 bytes, the file has 6"));
  EXPECT_TRUE(mentions(two("[0,2]", "[6,8]"), "hole"));
  EXPECT_TRUE(mentions(two("[0,2]", "[4,2]"), "do not match"));
  EXPECT_TRUE(mentions(two("[0,3]", "[3,6]"), "do not match"));
}

TEST(SafetensorsRefuses, ShapesWhoseSizeOverflows) {
  for (const char* shape :
       {"[4294967296,4294967296]", "[9223372036854775807,2]", "[18446744073709551615]",
        "[2305843009213693952,8]", "[65536,65536,65536,65536]", "[9223372036854775808]"}) {
    SCOPED_TRACE(shape);
    const std::string header =
        std::string(R"({"x":{"dtype":"F64","shape":)") + shape + R"(,"data_offsets":[0,0]}})";
    EXPECT_TRUE(mentions(refusal(file_of(header, "")), "overflows"));
  }
  // Without a byte, yet no tensor of this process could have it.
  for (const char* shape :
       {"[0,9223372036854775807,2]", "[9223372036854775807,2,0]", "[0,4611686018427387904,3]"})
    refusal(file_of(
        std::string(R"({"x":{"dtype":"U8","shape":)") + shape + R"(,"data_offsets":[0,0]}})", ""));
}

TEST(SafetensorsRefuses, DuplicateNamesAndUnknownTypes) {
  const std::string twice = R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                            R"("x":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})";
  EXPECT_TRUE(mentions(refusal(file_of(twice, "abcd")), "'x' stands twice"));
  const std::string unknown = R"({"x":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}})";
  EXPECT_TRUE(mentions(refusal(file_of(unknown, "abcd")), "F8_E4M3"));
}

TEST(SafetensorsRefuses, AFolderAndAFileThatIsNotThere) {
  const TemporaryFolder folder;
  EXPECT_THROW(read_safetensors(folder / "none"), CheckpointError);
  EXPECT_THROW(read_safetensors(folder.path()), CheckpointError);
}

// Whatever the damage: a CheckpointError or tensors, nothing else.
TEST(SafetensorsRefuses, MutatedFilesOnlyEverThrowCheckpointErrors) {
  const TemporaryFolder folder;
  write_safetensors(folder / "good", {{"weight", at::ones({3, 2})},
                                      {"counter", at::full({}, 9, at::kLong)},
                                      {"bias", at::zeros({3}, at::kDouble)}});
  const std::string good = testing::read_text(folder / "good");
  const size_t header = good.find('}', good.find("weight")) + 2;
  KeyedStream draws(random_key(1, Purpose::kAugmentation, 77), 0, 0, 0);
  int refused = 0;
  constexpr int kRounds = 4000;
  for (int round = 0; round < kRounds; ++round) {
    std::string bad = good;
    for (uint64_t change = 1 + draws.below(4); change > 0; --change) {
      const size_t place = draws.below(draws.chance(0.9) ? header : bad.size());
      switch (draws.below(4)) {
        case 0:
          bad[place] = static_cast<char>(draws.bits());
          break;
        case 1:
          bad.erase(place, draws.below(9));
          break;
        case 2:
          bad.insert(place, 1 + draws.below(9), "0123456789[]{},:\""[draws.below(17)]);
          break;
        default:
          bad[place] = "0123456789[]{},:\""[draws.below(17)];
      }
      if (bad.size() < header + 1) bad.resize(header + 1, 'x');
    }
    testing::write_text(folder / "bad", bad);
    try {
      read_safetensors(folder / "bad");
    } catch (const CheckpointError& error) {
      ++refused;
    } catch (const std::exception& error) {
      FAIL() << "round " << round << ": " << error.what();
    }
  }
  EXPECT_GT(refused, kRounds / 2);
}

}  // namespace
}  // namespace cltrain
