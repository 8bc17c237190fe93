// Configs and options as text: printed, read back, compared.
#include "configs/scalar_text.h"
#include "tests/configs/config_folder.h"

#include <cmath>
#include <cstring>
#include <random>

#include <yaml-cpp/yaml.h>

namespace cltrain {
namespace {

class ConfigText : public ConfigFolder {};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    lines.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return lines;
}

TEST_F(ConfigText, ResolvedYamlIsNestedInTheOrderOfTheTable) {
  load_text("data.files: [a b, x]\noptim.lr: 0.1\n");
  EXPECT_EQ(resolved_yaml(table),
            "device: auto\n"
            "run:\n"
            "  dir: runs/x\n"
            "  seed: 1\n"
            "  dtype: float32\n"
            "train:\n"
            "  steps: 0\n"
            "  global_batch: 256\n"
            "optim:\n"
            "  name: sgd\n"
            "  lr: 0.1\n"
            "  nesterov: false\n"
            "data:\n"
            "  name: cifar10\n"
            "  root: \"\"\n"
            "  scale: [0.08, 1]\n"
            "  files: [\"a b\", x]\n"
            "  index: []\n"
            "model:\n"
            "  width: 1\n");
}

TEST_F(ConfigText, SectionsDeclaredInPiecesAreWrittenOnce) {
  int64_t a = 1, b = 2, c = 3, d = 4;
  OptionTable pieces;
  pieces.add("x.a", a, {.doc = ""});
  pieces.add("y", b, {.doc = ""});
  pieces.add("x.in.c", c, {.doc = ""});
  pieces.add("x.inner", d, {.doc = ""});
  EXPECT_EQ(resolved_yaml(pieces), "x:\n  a: 1\n  in:\n    c: 3\n  inner: 4\ny: 2\n");
}

// Values of any kind survive being written and loaded, bit for bit; and another reader of YAML
// (yaml-cpp's own nodes) finds the same texts.
TEST_F(ConfigText, RandomValuesRoundTrip) {
  const std::vector<std::string> pieces = {"a",
                                           "B",
                                           "7",
                                           ".",
                                           "-",
                                           "_",
                                           "/",
                                           " ",
                                           "${",
                                           "$",
                                           "{",
                                           "}",
                                           "#",
                                           ": ",
                                           "\"",
                                           "'",
                                           "\\",
                                           "\n",
                                           "\t",
                                           "\r",
                                           "é",
                                           "\xe2\x80\xa8",
                                           "\xc2\x85",
                                           "~",
                                           ",",
                                           "[",
                                           "]",
                                           "null",
                                           "true",
                                           "&",
                                           "*",
                                           "!",
                                           "%",
                                           "@",
                                           "`",
                                           "\x01",
                                           "|",
                                           ">",
                                           "?",
                                           "no",
                                           "\xf0\x9f\x98\x80",
                                           "0x",
                                           "---",
                                           "...",
                                           "$$",
                                           "=",
                                           "<<",
                                           "\x7f"};
  std::mt19937_64 bits(7);
  const auto text = [&] {
    std::string result;
    for (uint64_t i = bits() % 6; i > 0; --i) result += pieces[bits() % pieces.size()];
    return result;
  };
  const auto number = [&](double limit) {
    return limit * static_cast<double>(bits() >> 11) * 0x1p-53;
  };
  for (int i = 0; i < 1000; ++i) {
    SampleOptions values;
    values.dir = text();
    values.root = text();
    values.files.clear();
    for (uint64_t k = bits() % 4; k > 0; --k) values.files.push_back(text());
    values.seed = static_cast<int64_t>(bits() >> 1);
    values.nesterov = bits() % 2;
    values.width = std::ldexp(1 + number(0.9), -static_cast<int>(bits() % 1000));
    values.scale = {number(1), number(1), 0, 1};
    values.index = {static_cast<int64_t>(bits() >> 1), 0};
    const std::string written = resolved_yaml(table_of(values));
    ASSERT_EQ(error_of(written), "no error") << written;
    ASSERT_EQ(options.dir, values.dir) << written;
    ASSERT_EQ(options.root, values.root) << written;
    ASSERT_EQ(options.files, values.files) << written;
    ASSERT_EQ(options.seed, values.seed) << written;
    ASSERT_EQ(options.nesterov, values.nesterov) << written;
    ASSERT_EQ(std::memcmp(&options.width, &values.width, sizeof values.width), 0) << written;
    ASSERT_EQ(options.scale, values.scale) << written;
    ASSERT_EQ(options.index, values.index) << written;
    ASSERT_EQ(resolved_yaml(table), written);
    const YAML::Node node = YAML::Load(written);
    ASSERT_EQ(node["run"]["dir"].as<std::string>(), escape_interpolation(values.dir)) << written;
    const auto recorded = parse_resolved(written, "copy");
    ASSERT_EQ(recorded.size(), table.options().size());
    ASSERT_TRUE(compare(recorded, table).empty()) << written;
  }
}

TEST_F(ConfigText, OriginsAreAlignedAndStillAConfig) {
  const ResolvedConfig config =
      load_text("run.seed: 3\ndata.root: " + std::string(70, 'r') + "\n", {"optim.lr=0.5"});
  const std::string text = resolved_with_origins(config);
  const std::vector<std::string> lines = lines_of(text);
  ASSERT_EQ(lines.size(), table.options().size());
  EXPECT_EQ(lines[0], "device: auto              # default");
  EXPECT_EQ(lines[2], "run.seed: 3               # main.yaml:1:11");
  EXPECT_EQ(lines[7], "optim.lr: 0.5             # command line");
  EXPECT_EQ(lines[10], "data.root: " + std::string(70, 'r') + "   # main.yaml:2:12");
  const std::string before = resolved_yaml(table);
  load_text(text);
  EXPECT_EQ(resolved_yaml(table), before);
}

TEST_F(ConfigText, HelpFitsIntoAHundredColumns) {
  std::vector<std::string> long_list = {std::string(150, 'w'), "short"};
  std::string word = "x";
  options = SampleOptions();
  table = table_of(options);
  table.add("model.a_rather_long_name_of_an_option", word,
            {.doc = "a " + std::string(130, 'd') + " with words of all kinds around it"});
  table.add("model.list", long_list, {.doc = "something long by default"});
  const std::string help = "\n" + options_help(table);
  for (const std::string& line : lines_of(help)) EXPECT_LE(line.size(), 100u) << line;
  for (const Option& option : table.options()) {
    EXPECT_NE(help.find("\n  " + option.name()), std::string::npos) << option.name();
  }
  const std::vector<std::string> train = lines_of(options_help(table, "train."));
  ASSERT_EQ(train.size(), 4u) << options_help(table, "train.");
  EXPECT_EQ(train[0], "train");
  EXPECT_EQ(
      train[1],
      "  train.steps         int  0    steps to train, where 0 stands for as many as the epochs "
      "ask for (a");
  EXPECT_EQ(train[2],
            "                                whole number >= 0; steps; may change on resume)");
  EXPECT_EQ(
      train[3],
      "  train.global_batch  int  256  samples of one step over all ranks (a whole number >= 1; "
      "samples)");
  EXPECT_EQ(options_help(table, "nothing"), "");
}

TEST_F(ConfigText, ComparisonNamesWhatChangedAndWhetherItMay) {
  load_text("optim.lr: 0.1\n");
  auto before = parse_resolved(resolved_yaml(table), "copy");
  before["gone.option"] = "3";
  before.erase("run.seed");  // an older program did not have it
  load_text("optim.lr: 0.2\ntrain.steps: 9\n");
  std::vector<ConfigDifference> differences = compare(before, table);
  ASSERT_EQ(differences.size(), 3u);
  EXPECT_EQ(differences[0].name, "train.steps");
  EXPECT_EQ(differences[0].before, "0");
  EXPECT_EQ(differences[0].after, "9");
  EXPECT_TRUE(differences[0].safe);
  EXPECT_EQ(differences[1].name, "optim.lr");
  EXPECT_EQ(differences[1].before, "0.1");
  EXPECT_EQ(differences[1].after, "0.2");
  EXPECT_FALSE(differences[1].safe);
  EXPECT_EQ(differences[2].name, "gone.option");
  EXPECT_EQ(differences[2].after, "(no such option)");
  EXPECT_FALSE(differences[2].safe);
  load_text("optim.lr: 0.1\nrun.seed: 5\n");
  differences = compare(before, table);
  ASSERT_EQ(differences.size(), 2u);
  EXPECT_EQ(differences[0].name, "run.seed");
  EXPECT_EQ(differences[0].before, "1");
}

TEST_F(ConfigText, ParseResolvedRefusesWhatIsNoConfig) {
  EXPECT_THROW(parse_resolved("- a", "copy"), ConfigError);
  EXPECT_THROW(parse_resolved("a: [", "copy"), ConfigError);
  EXPECT_THROW(parse_resolved("a: 1\na: 2", "copy"), ConfigError);
  EXPECT_TRUE(parse_resolved("", "copy").empty());
}

}  // namespace
}  // namespace cltrain
