// SHA-256 against the vectors of FIPS 180-4.
#include "data/sha256.h"

#include "data/dataset.h"
#include "tests/support/temporary_folder.h"

#include <fstream>
#include <string>

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
  std::ofstream(folder / "file", std::ios::binary) << text;
  EXPECT_EQ(sha256_of_file(folder / "file"), sha256(text));
  EXPECT_THROW(sha256_of_file(folder / "none"), DataError);
}

}  // namespace
}  // namespace cltrain
