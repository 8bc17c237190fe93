// What a config means: files, defaults lists, overrides, interpolation.
#include "configs/config.h"

#include "tests/configs/config_folder.h"

namespace cltrain {
namespace {

class Config : public ConfigFolder {};

std::string origin_of(const ResolvedConfig& config, const std::string& name) {
  for (const ConfigValue& value : config.values) {
    if (value.name == name) return value.origin;
  }
  return "no such value";
}

TEST_F(Config, NestedAndDottedKeysOfEveryType) {
  const ResolvedConfig config = load_text(
      "run: {dir: 'it''s', seed: \"7\"}\n"
      "train.global_batch: 1_000  # dotted\n"
      "optim:\n"
      "  nesterov: true\n"
      "  lr: 1e-3\n"
      "data:\n"
      "  root:\n"
      "  scale: [0.5, 1]\n"
      "  files:\n"
      "    - a b\n"
      "    - \"c,d\"\n"
      "model:\n"
      "  # all comments\n");
  EXPECT_EQ(options.dir, "it's");
  EXPECT_EQ(options.seed, 7);
  EXPECT_EQ(options.global_batch, 1000);
  EXPECT_TRUE(options.nesterov);
  EXPECT_EQ(options.lr, 0.001);
  EXPECT_EQ(options.root, "");
  EXPECT_EQ(options.scale, (std::vector<double>{0.5, 1}));
  EXPECT_EQ(options.files, (std::vector<std::string>{"a b", "c,d"}));
  EXPECT_EQ(config.stem, "main");
  EXPECT_EQ(config.file, "main.yaml");
  ASSERT_EQ(config.values.size(), table.options().size());
  EXPECT_EQ(config.values[1].name, "run.dir");
  EXPECT_EQ(origin_of(config, "optim.lr"), "main.yaml:5:7");
  EXPECT_EQ(origin_of(config, "run.dir"), "main.yaml:1:12");
  EXPECT_EQ(origin_of(config, "data.root"), "main.yaml:7:3");
  EXPECT_EQ(origin_of(config, "device"), "default");
}

TEST_F(Config, AStageIsTheFileWithItsMapOverItAndTheCommandLineOverBoth) {
  const std::string text =
      "train.steps: 5\n"
      "run.dir: runs/y\n"
      "stages:\n"
      "  - {}\n"
      "  - {train.steps: 7, data: {root: '${run.dir}/1'}}\n";
  EXPECT_EQ(load_text(text).stages, 2);
  EXPECT_EQ(options.steps, 5);
  write("main.yaml", text);
  const auto load_stage = [&](int64_t stage, std::vector<std::string> overrides = {}) {
    options = SampleOptions();
    return load_config({.file = "main.yaml", .overrides = overrides, .stage = stage}, table);
  };
  load_stage(1);
  EXPECT_EQ(options.steps, 5);
  EXPECT_EQ(options.root, "");
  EXPECT_EQ(origin_of(load_stage(2), "train.steps"), "main.yaml:5:19");
  EXPECT_EQ(options.steps, 7);
  EXPECT_EQ(options.root, "runs/y/1");
  load_stage(2, {"train.steps=9"});
  EXPECT_EQ(options.steps, 9);
}

TEST_F(Config, EmptyFilesLeaveTheDefaults) {
  for (const char* text : {"", "# nothing\n", "---\n", "{}\n", "defaults: []\n", "defaults:\n"}) {
    load_text(text);
    EXPECT_EQ(resolved_yaml(table), [] {
      SampleOptions untouched;
      return resolved_yaml(table_of(untouched));
    }()) << text;
  }
}

TEST_F(Config, LaterDefaultsWinAndSelfStandsWhereItIsWritten) {
  write("optim/a.yaml", "optim: {name: lars, lr: 1}\nrun.seed: 11\n");
  write("optim/b.yaml", "optim.lr: 2\n");
  write("base.yaml", "run: {seed: 5, dir: base}\n");
  load_text("defaults:\n  - base\n  - optim: a\n  - optim/b\n  - _self_\noptim.lr: 3\n");
  EXPECT_EQ(options.lr, 3);  // own value last
  EXPECT_EQ(options.optimizer, "lars");
  EXPECT_EQ(options.seed, 11);  // a over base
  EXPECT_EQ(options.dir, "base");
  load_text("defaults:\n  - optim: a\n  - _self_\n  - optim: b\noptim: {lr: 3, name: adamw}\n");
  EXPECT_EQ(options.lr, 2);  // b over own
  EXPECT_EQ(options.optimizer, "adamw");
  load_text("defaults:\n  - optim: a\noptim.lr: 3\n");
  EXPECT_EQ(options.lr, 3);  // without _self_: last
  load_text("defaults:\n  - optim: b\n  - optim: a\n  - _self_\n");
  EXPECT_EQ(options.lr, 1);
}

TEST_F(Config, SectionsMergeWhileListsAndScalarsReplace) {
  write("data/a.yaml", "data: {name: fashion, scale: [0.1, 0.2, 0.3], files: [x, y]}\n");
  load_text("defaults: [{data: a}]\ndata: {scale: [0.5]}\n");
  EXPECT_EQ(options.name, "fashion");
  EXPECT_EQ(options.scale, std::vector<double>{0.5});
  EXPECT_EQ(options.files.size(), 2u);
}

TEST_F(Config, GroupFilesHaveDefaultsOfTheirOwn) {
  write("optim/base.yaml", "optim: {name: lars, lr: 1}\n");
  write("optim/big.yaml", "defaults:\n  - optim: base\noptim.lr: 9\n");
  write("data/deep/crop.yaml", "data.scale: [0.2, 1]\n");
  load_text("defaults:\n  - optim: big\n  - data/deep: crop\n");
  EXPECT_EQ(options.lr, 9);
  EXPECT_EQ(options.optimizer, "lars");
  EXPECT_EQ(options.scale, (std::vector<double>{0.2, 1}));
}

TEST_F(Config, FilesAreFoundBesideTheMainFileThenInTheSearchFolders) {
  write("search/main.yaml", "defaults: [{optim: a}, {data: b}]\nrun.dir: searched\n");
  write("search/optim/a.yaml", "optim.lr: 1\n");
  write("search/data/b.yaml", "data.name: fashion\n");
  const ResolvedConfig config = load("main");
  EXPECT_EQ(config.file, "search/main.yaml");
  EXPECT_EQ(config.stem, "main");
  EXPECT_EQ(options.dir, "searched");
  write("here/main.yaml", "defaults: [{optim: a}, {data: b}]\nrun.dir: here\n");
  write("here/optim/a.yaml", "optim.lr: 2\n");
  const ResolvedConfig other = load("here/main.yaml");
  EXPECT_EQ(options.dir, "here");
  EXPECT_EQ(options.lr, 2);            // beside the main file first
  EXPECT_EQ(options.name, "fashion");  // then the search folder
  EXPECT_EQ(origin_of(other, "optim.lr"), "here/optim/a.yaml:1:11");
  EXPECT_EQ(origin_of(other, "data.name"), "search/data/b.yaml:1:12");
  load(std::filesystem::absolute("here/main.yaml").string());
  EXPECT_EQ(options.lr, 2);
}

TEST_F(Config, OverridesWinAndTheLastOfThemMost) {
  const ResolvedConfig config =
      load_text("optim: {lr: 1, nesterov: true}\ndata.root: x\n",
                {"optim.lr=2", "optim.lr=4", "data.scale=[0.1, 0.9]", "data.root=", "run.dir=a=b c",
                 "run.seed=3", "data.files=[a, \"b,c\"]", "optim={nesterov: false}"});
  EXPECT_EQ(options.lr, 4);
  EXPECT_FALSE(options.nesterov);
  EXPECT_EQ(options.scale, (std::vector<double>{0.1, 0.9}));
  EXPECT_EQ(options.root, "");
  EXPECT_EQ(options.dir, "a=b c");
  EXPECT_EQ(options.files, (std::vector<std::string>{"a", "b,c"}));
  EXPECT_EQ(origin_of(config, "optim.lr"), "command line");
  load_text("", {"run.dir=null", "data.root='null'"});
  EXPECT_EQ(options.dir, "");
  EXPECT_EQ(options.root, "null");  // quoted: the word
}

TEST_F(Config, TheCommandLineSelectsAnotherFileOfAGroup) {
  write("optim/a.yaml", "optim.lr: 1\n");
  write("search/optim/b.yaml", "optim: {lr: 2, name: lars}\n");
  write("base.yaml", "defaults:\n  - optim: a\n");
  const std::string main = "defaults:\n  - base\n  - _self_\noptim.name: adamw\n";
  load_text(main);
  EXPECT_EQ(options.lr, 1);
  load_text(main, {"optim=b"});
  EXPECT_EQ(options.lr, 2);               // in a file that the main file names
  EXPECT_EQ(options.optimizer, "adamw");  // in the old one's place: before _self_
  load_text(main, {"optim.lr=7", "optim=b"});
  EXPECT_EQ(options.lr, 7);  // options win over files wherever they stand
  load_text(main, {"optim=null"});
  EXPECT_EQ(options.lr, SampleOptions().lr);
  load_text("defaults:\n  - optim: null\n", {"optim=a"});
  EXPECT_EQ(options.lr, 1);
}

TEST_F(Config, ASelectionKeepsWhatTheSelectedFileBuildsOn) {
  write("optim/base.yaml", "optim: {name: lars, lr: 1}\n");
  write("optim/big.yaml", "defaults:\n  - optim: base\noptim.lr: 9\n");
  write("method/m.yaml", "defaults:\n  - optim: base\n");
  load_text("defaults:\n  - method: m\n", {"optim=big"});
  EXPECT_EQ(options.lr, 9);
  EXPECT_EQ(options.optimizer, "lars");
}

TEST_F(Config, OrdinaryAliasesAreRead) {
  load_text("run.dir: &here some/where\ndata: {root: *here, files: &l [*here, b]}\n");
  EXPECT_EQ(options.root, "some/where");
  EXPECT_EQ(options.files, (std::vector<std::string>{"some/where", "b"}));
}

TEST_F(Config, Interpolation) {
  setenv("CLTRAIN_SET", "from env", 1);
  load_text(
      "run.dir: runs/${data.name}-${ model.width }-${env:CLTRAIN_SET}-${env:CLTRAIN_UNSET,x y}\n"
      "model.width: .25\n"
      "train.steps: ${run.seed}\n"
      "data:\n"
      "  root: ${env:CLTRAIN_UNSET,${env:CLTRAIN_UNSET,${run.dtype}}/d}\n"
      "  files: [\"${device}\", a$b, $, \"$${x}\", \"$$${x}\", \"x$\"]\n"
      "  index: [\"${run.seed}\", 4]\n",
      {"run.seed=12", "data.name=fashion"});
  EXPECT_EQ(options.dir, "runs/fashion-.25-from env-x y");
  EXPECT_EQ(options.steps, 12);  // what counts is the override
  EXPECT_EQ(options.root, "float32/d");
  EXPECT_EQ(options.files, (std::vector<std::string>{"auto", "a$b", "$", "${x}", "$${x}", "x$"}));
  EXPECT_EQ(options.index, (std::vector<int64_t>{12, 4}));
  load_text("", {"run.dir=${data.root}/x", "data.root=${env:CLTRAIN_SET}"});
  EXPECT_EQ(options.dir, "from env/x");
  unsetenv("CLTRAIN_SET");
}

TEST_F(Config, AWholeListCanBeInterpolated) {
  load_text("data: {scale: [0.25, 0.5], files: \"${data.scale}\"}\n");
  EXPECT_EQ(options.files, (std::vector<std::string>{"0.25", "0.5"}));
  load_text("data: {files: \"${data.scale}\"}\n");
  EXPECT_EQ(options.files, (std::vector<std::string>{"0.08", "1"}));  // the default
}

TEST_F(Config, WhatAnOverriddenValueRefersToDoesNotMatter) {
  load_text("data.root: ${env:CLTRAIN_UNSET}\nrun.dir: ${run.dir}\n",
            {"data.root=here", "run.dir=there"});
  EXPECT_EQ(options.root, "here");
  EXPECT_EQ(options.dir, "there");
}

}  // namespace
}  // namespace cltrain
