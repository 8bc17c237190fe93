// SHA-256 against the vectors of FIPS 180-4, and what the digest of a state depends on.
#include "train/digest.h"

#include "tests/train/folder.h"

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

std::string sha256(const std::string& text) {
  Sha256 sha;
  sha.add(text);
  return sha.hex();
}

// NIST, "SHA256 examples" to FIPS 180-4.
TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesAreTheWhole) {
  Sha256 sha;
  sha.add("a");
  sha.add("");
  sha.add("bc");
  EXPECT_EQ(sha.hex(), sha256("abc"));
}

TEST(Sha256, OfAFile) {
  const testing::TemporaryFolder folder;
  const std::string text(3'000'001, 'x');
  testing::write_text(folder / "file", text);
  EXPECT_EQ(sha256_of_file(folder / "file"), sha256(text));
  EXPECT_THROW(sha256_of_file(folder / "none"), std::runtime_error);
}

std::vector<NamedTensor> some_state() {
  return {{"b", at::arange(6, at::kFloat).view({2, 3})},
          {"a", at::arange(4, at::kLong)},
          {"empty", at::zeros({0, 2})}};
}

TEST(StateDigest, DependsOnNothingButTheState) {
  const std::string digest = sha256_of_state(some_state(), {{"step", 3}, {"samples", 9}});
  std::vector<NamedTensor> reversed = some_state();
  std::swap(reversed[0], reversed[2]);
  EXPECT_EQ(sha256_of_state(reversed, {{"samples", 9}, {"step", 3}}), digest);
  std::vector<NamedTensor> strided = some_state();
  strided[0].second = strided[0].second.t().contiguous().t();
  EXPECT_EQ(sha256_of_state(strided, {{"step", 3}, {"samples", 9}}), digest);
}

TEST(StateDigest, EveryBitCounts) {
  std::set<std::string> digests{sha256_of_state(some_state(), {{"step", 3}})};
  size_t asked = 1;
  for (int tensor = 0; tensor < 2; ++tensor)
    for (size_t byte = 0; byte < some_state()[tensor].second.nbytes(); ++byte)
      for (int bit = 0; bit < 8; ++bit, ++asked) {
        std::vector<NamedTensor> changed = some_state();
        static_cast<uint8_t*>(changed[tensor].second.data_ptr())[byte] ^= uint8_t(1u << bit);
        digests.insert(sha256_of_state(changed, {{"step", 3}}));
      }
  EXPECT_EQ(digests.size(), asked);
}

TEST(StateDigest, NamesShapesTypesAndCountersCount) {
  const auto changed = [](auto&& change) {
    std::vector<NamedTensor> tensors = some_state();
    std::map<std::string, int64_t> counters{{"step", 3}};
    change(tensors, counters);
    return sha256_of_state(tensors, counters);
  };
  const std::set<std::string> digests{
      changed([](auto&, auto&) {}),
      changed([](auto& tensors, auto&) { tensors[0].first = "c"; }),
      changed([](auto& tensors, auto&) {
        tensors[0].second = tensors[0].second.view({3, 2});
      }),
      changed(
          [](auto& tensors, auto&) { tensors[1].second = tensors[1].second.view(at::kDouble); }),
      changed([](auto& tensors, auto&) {
        tensors[2].second = at::zeros({2, 0});
      }),
      changed([](auto& tensors, auto&) { tensors.pop_back(); }),
      changed([](auto&, auto& counters) { counters["step"] = 4; }),
      changed([](auto&, auto& counters) { counters["skipped"] = 0; })};
  EXPECT_EQ(digests.size(), 8u);
}

}  // namespace
}  // namespace cltrain
