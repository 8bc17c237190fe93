// Whatever a config file, an override or a recorded config holds, loading it ends, and ends with
// values or with a ConfigError. A crash or an endless loop fails the test (ctest has a time limit).
#include "tests/configs/config_folder.h"

#include <random>

namespace cltrain {
namespace {

class Garbage : public ConfigFolder {
 protected:
  /// True if the text was taken.
  bool try_config(const std::string& text, std::vector<std::string> overrides = {}) {
    try {
      load_text(text, std::move(overrides));
    } catch (const ConfigError& error) {
      EXPECT_STRNE(error.what(), "");
      return false;
    }
    // What was taken can be written and taken again.
    const std::string resolved = resolved_yaml(table);
    EXPECT_EQ(error_of(resolved), "no error") << text;
    EXPECT_EQ(resolved_yaml(table), resolved) << text;
    return true;
  }

  static const std::vector<std::string>& pieces() {
    static const std::vector<std::string> pieces = {"a",
                                                    "run",
                                                    ":",
                                                    ": ",
                                                    " ",
                                                    "  ",
                                                    "\n",
                                                    "\n  ",
                                                    "- ",
                                                    "-",
                                                    "? ",
                                                    "{",
                                                    "}",
                                                    "[",
                                                    "]",
                                                    ",",
                                                    "&a ",
                                                    "*a",
                                                    "!",
                                                    "!!int ",
                                                    "!<x> ",
                                                    "|\n",
                                                    ">-\n",
                                                    "'",
                                                    "\"",
                                                    "#",
                                                    " # ",
                                                    "%",
                                                    "\\",
                                                    "\t",
                                                    "<<",
                                                    "~",
                                                    "null",
                                                    "010",
                                                    "${",
                                                    "${run.dir}",
                                                    "$",
                                                    "@",
                                                    "`",
                                                    "\r",
                                                    "\r\n",
                                                    "\xc3\xa9",
                                                    "\xff",
                                                    "\x04",
                                                    "---",
                                                    "\n---\n",
                                                    "\n...\n",
                                                    "defaults: ",
                                                    "_self_",
                                                    "run.dir: ",
                                                    "optim:\n",
                                                    "run.seed: 1\n",
                                                    "data: a\n",
                                                    "\xef\xbb\xbf",
                                                    "\xe2\x80\xa8",
                                                    "1e3"};
    return pieces;
  }
};

const char* const kGood =
    "defaults:\n  - optim: a\n  - _self_\nrun: &r {dir: \"x/${data.name}\", seed: 3}\n"
    "optim:\n  lr: 1e-3\n  nesterov: true\ndata:\n  files: [a, 'b c', \"d\\n\"]\n  root: |\n    t\n"
    "model.width: .5\n";

TEST_F(Garbage, RandomPieces) {
  std::mt19937 bits(11);
  int taken = 0;
  for (int i = 0; i < 2500; ++i) {
    std::string text;
    for (uint32_t k = 1 + bits() % 12; k > 0; --k) text += pieces()[bits() % pieces().size()];
    taken += try_config(text);
    try_config("", {text, "run.dir=" + text, "data.files=" + text, "data=" + text});
  }
  EXPECT_GT(taken, 4);
}

TEST_F(Garbage, MutationsOfAGoodConfig) {
  write("optim/a.yaml", "optim.lr: 2\n");
  ASSERT_TRUE(try_config(kGood));
  std::mt19937 bits(13);
  int taken = 0;
  for (int i = 0; i < 2500; ++i) {
    std::string text = kGood;
    for (uint32_t k = 1 + bits() % 4; k > 0; --k) {
      const size_t at = bits() % (text.size() + 1);
      switch (bits() % 4) {
        case 0:
          text.insert(at, pieces()[bits() % pieces().size()]);
          break;
        case 1:
          text.erase(at, 1 + bits() % 5);
          break;
        case 2:
          if (at < text.size()) text[at] = static_cast<char>(bits());
          break;
        default:
          text.insert(at, text.substr(bits() % text.size(), bits() % 30));
      }
    }
    taken += try_config(text);
  }
  EXPECT_GT(taken, 40);
}

TEST_F(Garbage, RandomBytes) {
  std::mt19937 bits(17);
  for (int i = 0; i < 1000; ++i) {
    std::string text(bits() % 200, ' ');
    for (char& c : text) c = static_cast<char>(bits() % (i % 2 ? 128 : 256));
    try_config(text);
    try {
      parse_resolved(text, "copy");
    } catch (const ConfigError&) {
    }
  }
}

}  // namespace
}  // namespace cltrain
