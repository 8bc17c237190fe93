// What is said about wrong configs. Whole reports are golden texts in golden/<name>.txt; a run with
// CLTRAIN_UPDATE_GOLDEN=1 rewrites them and fails, so that the difference is read before it is
// kept.
#include "tests/configs/config_folder.h"

namespace cltrain {
namespace {

class ConfigErrors : public ConfigFolder {
 protected:
  static void expect_golden(const std::string& name, const std::string& report) {
    const std::string file = std::string(CLTRAIN_TEST_FILES) + "/golden/" + name + ".txt";
    if (getenv("CLTRAIN_UPDATE_GOLDEN")) {
      std::ofstream(file) << report << "\n";
      ADD_FAILURE() << file << " was rewritten; read the difference and run again";
      return;
    }
    std::ifstream stream(file);
    const std::string golden{std::istreambuf_iterator<char>(stream), {}};
    EXPECT_EQ(report + "\n", golden) << file;
  }
};

TEST_F(ConfigErrors, EveryMistakeAtOnceInTheOrderOfFilesThenArguments) {
  write("optim/lars.yaml", "optim:\n  name: lras\n  rate: 1\n");
  write("optim/sgd.yaml", "optim.name: sgd\n");
  const std::string report = error_of(
      "defaults:\n"
      "  - data: cifar1000\n"
      "  - optim: lars\n"
      "  - [x]\n"
      "  - _self_\n"
      "  - _self_\n"
      "run:\n"
      "  seed: 010\n"
      "  sede: 4\n"
      "  seed: 5\n"
      "  dtype: float46\n"
      "train: 3\n"
      "train.global_batch: {a: 1}\n"
      "optim:\n"
      "  lr: 0\n"
      "  nesterov: yes\n"
      "  momentm: {a: 1, b: [2]}\n"
      "data:\n"
      "  scale: [0.5, x]\n"
      "  root: ${env:CLTRAIN_UNSET}\n"
      "  name: ${data.nam}\n"
      "  index: 5\n"
      "  files: [[a]]\n"
      "model.width: \"${model.width}\"\n"
      "quite_else: 1\n",
      {"optimizer.lr=1", "y", "=3", "train.steps=1e3", "train.steps=", "data.scale=3",
       "data.files=[a", "model.width=nan", "device=gpu"});
  expect_golden("every_mistake", report);
}

TEST_F(ConfigErrors, Files) {
  write("search/simclr_fashion.yaml", "");
  write("search/simclr_cifar10.yaml", "");
  write("here/notes.txt", "");
  std::filesystem::create_directory("folder.yaml");
  std::string report;
  const auto try_file = [&](const std::string& file, std::vector<std::string> overrides = {}) {
    try {
      load(file, std::move(overrides));
      report += file + ": no error\n";
    } catch (const ConfigError& error) {
      report += std::string(error.what()) + "\n";
    }
  };
  try_file("simclr_fashin.yaml", {"run.sed=1"});
  try_file("here/simclr");
  try_file("/no/such/file.yaml");
  try_file("folder.yaml");
  try_file("");
  expect_golden("files", report);
}

TEST_F(ConfigErrors, GroupsAndDefaults) {
  write("optim/sgd.yaml", "");
  write("optim/lars.yaml", "defaults: [loop]\n");
  write("loop.yaml", "defaults:\n  - optim: lars\n");
  write("list.yaml", "- a\n");
  std::string report;
  const auto try_text = [&](const std::string& text, std::vector<std::string> overrides = {}) {
    report += "# " + text + "\n" + error_of(text, std::move(overrides)) + "\n";
  };
  try_text("defaults: [{optim: sdg}]");
  try_text("defaults: [{optim: sgd}]", {"optim=lasr"});
  try_text("defaults: [{optim: sgd}]", {"optim=[sgd]"});
  try_text("defaults: []", {"optim=sgd"});
  try_text("defaults: [{optm: sgd}]");
  try_text("defaults: [{optim: sgd}]", {"potim=sgd", "elsewhere=sgd"});
  try_text("defaults: [loop]");
  try_text("defaults: [main]");
  try_text("defaults: [list, ../main, optim/../loop, /etc/x, \"\"]");
  try_text("defaults: [{a: b, c: d}, {a: [b]}]");
  try_text("defaults: sgd");
  expect_golden("groups", report);
}

TEST_F(ConfigErrors, TrapsOfYaml) {
  std::string report;
  const auto try_text = [&](const std::string& text) {
    report += "# " + text + "\n" + error_of(text) + "\n";
  };
  try_text("run: {seed: 1, seed: 2}");
  try_text("optim:\n  lr: 1\nrun.seed: 1\noptim:\n  lr: 2");
  try_text("optim.lr: 1\noptim: {lr: 2}");
  try_text("data: {files: &a [*a]}");
  try_text("run: &a {dir: *a}");
  try_text("run.dir: *nowhere");
  try_text("base: &b {seed: 1}\nrun: {<<: *b}");
  try_text("run:\n\tseed: 1");
  try_text("run:\n  seed: 1\n \tdir: x");
  try_text("run.seed: 1\n---\nrun.seed: 2");
  try_text("run.seed: 1\n...\nrun.seed: 2");
  try_text("- run");
  try_text("run.seed:1");
  try_text("run.seed: 1\nrun.dir");
  try_text("run: {seed: 1}}");
  try_text("run: {seed: 1");
  try_text("run.dir: \"open");
  try_text("run:\n  seed: 1\n dir: x");
  try_text("data.files:\n  - a\n  b: c");
  try_text("run.dir: a: b");
  try_text("run.seed: !!int 1");
  try_text("? [run]\n: 1");
  try_text("~: 1");
  try_text("run.dir: \"\\q\"");
  try_text("%YAML 3.0\n---\nrun.seed: 1");
  expect_golden("yaml_traps", report);
}

TEST_F(ConfigErrors, Interpolation) {
  std::string report;
  const auto try_text = [&](const std::string& text) {
    report += "# " + text + "\n" + error_of(text) + "\n";
  };
  try_text("run.dir: ${data.root}\ndata.root: x${data.name}\ndata.name: ${run.dir}");
  try_text("run.dir: ${train.stepz}");
  try_text("run.dir: ${}");
  try_text("run.dir: a${data.root");
  try_text("run.dir: ${env:CLTRAIN_UNSET}/x");
  try_text("run.dir: ${env:}");
  try_text("run.dir: ${env:A-B,x}");
  try_text("run.dir: x${data.scale}");
  try_text("data.files: [a, \"${data.scale}\"]");
  try_text("run.dir: ${data.scale}");
  try_text("train.steps: ${model.width}\nmodel.width: 0.5");
  setenv("CLTRAIN_BYTES", "\xff", 1);
  try_text("run.dir: ${env:CLTRAIN_BYTES}");
  unsetenv("CLTRAIN_BYTES");
  expect_golden("interpolation", report);
}

TEST_F(ConfigErrors, BytesThatAreNoText) {
  EXPECT_EQ(error_of("run.seed: 1\nrun.dir: a\xff"),
            "main.yaml:2:11: a byte that is not UTF-8 text; save the file as UTF-8");
  // yaml-cpp ends its stream at 0x04: the second line would be lost.
  EXPECT_EQ(error_of("run.seed: 1\n\x04\nrun.seed: 2"),
            "main.yaml:2:1: a byte that is not UTF-8 text; save the file as UTF-8");
  EXPECT_NE(error_of(std::string("\xff\xfer\0u\0n\0", 8)), "no error");  // UTF-16
  EXPECT_EQ(error_of("\xef\xbb\xbfrun.seed: 3"), "no error");            // UTF-8 with its mark
  EXPECT_EQ(options.seed, 3);
}

TEST_F(ConfigErrors, BombsEndQuicklyWithAMistake) {
  EXPECT_NE(error_of(std::string(100000, '[')).find("nested deeper"), std::string::npos);
  EXPECT_NE(error_of("run.dir: " + std::string(100000, '{')).find("nested deeper"),
            std::string::npos);
  EXPECT_NE(error_of("data.files:\n" + std::string(100000, '-')), "no error");

  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string item = "*a" + std::to_string(i - 1);
    const std::string name = "a" + std::to_string(i);
    laughs += name + ": &" + name + " [" + item;
    for (int k = 1; k < 8; ++k) laughs += ", " + item;
    laughs += "]\n";
  }
  EXPECT_NE(error_of(laughs).find("expand to more than a config can hold"), std::string::npos);

  std::string nested = "x";
  for (int i = 0; i < 1000; ++i) nested = "${env:CLTRAIN_UNSET," + nested + "}";
  EXPECT_NE(error_of("run.dir: " + nested).find("deeper than"), std::string::npos);

  for (int i = 0; i < 30; ++i) {
    const std::string next = "f" + std::to_string(i + 1);
    write("f" + std::to_string(i) + ".yaml", "defaults: [" + next + ", " + next + "]\n");
  }
  write("f30.yaml", "");
  EXPECT_NE(error_of("defaults: [f0]").find("apply more than 200 files"), std::string::npos);

  std::string unknown;
  for (int i = 0; i < 15000; ++i) unknown += "key" + std::to_string(i) + ": 1\n";
  const std::string report = error_of(unknown);
  EXPECT_NE(report.find("\n... and 14900 more mistakes"), std::string::npos);
  EXPECT_NE(error_of(std::string(300 << 10, 'a')).find("longer than 256 KiB"), std::string::npos);
}

TEST_F(ConfigErrors, InterpolationThatDoublesAtEachStep) {
  std::vector<std::string> fields(40, "x");
  OptionTable chain;
  std::string text;
  for (int i = 0; i < 40; ++i) {
    const std::string next = "${chain.a" + std::to_string(i + 1) + "}";
    chain.add("chain.a" + std::to_string(i), fields[i], {.doc = "link"});
    if (i < 39) text += "chain.a" + std::to_string(i) + ": " + next + next + "\n";
  }
  write("main.yaml", text);
  try {
    load_config({"main.yaml", {}, {}}, chain);
    FAIL() << "no error";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("longer than 64 KiB"), std::string::npos);
  }
  write("main.yaml", text + "chain.a39: ''\n");
  load_config({"main.yaml", {}, {}}, chain);  // each link once: 2^39 visits would not end
  EXPECT_EQ(fields[0], "");
}

TEST_F(ConfigErrors, AFileThatCannotBeReadIsNamedOnceAndHidesNothingElse) {
  write("optim/sgd.yaml", "optim: [");
  const std::string report =
      error_of("defaults: [{optim: sgd}, {optim: sgd}]\nrun.sed: 1\n", {"data.nam=x"});
  EXPECT_EQ(report,
            "main.yaml:2:1: run.sed: there is no such option (received \"1\"); nearest: run.seed\n"
            "optim/sgd.yaml:1:1: cannot be parsed: a [ without its ]\n"
            "command line: data.nam: there is no such option (received \"x\"); nearest: data.name");
}

}  // namespace
}  // namespace cltrain
