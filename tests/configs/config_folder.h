// What the tests of configs share: a table of options of every type, and an empty folder that is
// the working directory while a test runs, so that paths in messages are the same everywhere.
#pragma once

#include "configs/config.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <stdlib.h>

namespace cltrain {

struct SampleOptions {
  std::string device = "auto";
  std::string dir = "runs/x";
  int64_t seed = 1;
  std::string dtype = "float32";
  int64_t steps = 0;
  int64_t global_batch = 256;
  std::string optimizer = "sgd";
  double lr = 0.3;
  bool nesterov = false;
  std::string name = "cifar10";
  std::string root = "";
  std::vector<double> scale = {0.08, 1};
  std::vector<std::string> files;
  std::vector<int64_t> index;
  double width = 1;
};

inline OptionTable table_of(SampleOptions& options) {
  OptionTable table;
  table.add("device", options.device,
            {.doc = "where tensors live", .choices = {"auto", "cpu", "cuda"}});
  table.add("run.dir", options.dir, {.doc = "folder of the run"});
  table.add("run.seed", options.seed, {.doc = "seed of every random number", .min = 0});
  table.add("run.dtype", options.dtype,
            {.doc = "type of parameters and activations", .choices = {"float32", "float64"}});
  table.add("train.steps", options.steps,
            {.doc = "steps to train, where 0 stands for as many as the epochs ask for",
             .unit = "steps",
             .min = 0,
             .safe_to_change = true});
  table.add("train.global_batch", options.global_batch,
            {.doc = "samples of one step over all ranks", .unit = "samples", .min = 1});
  table.add("optim.name", options.optimizer,
            {.doc = "update rule", .choices = {"sgd", "lars", "adamw"}});
  table.add("optim.lr", options.lr, {.doc = "learning rate", .min = 0, .above_min = true});
  table.add("optim.nesterov", options.nesterov, {.doc = "Nesterov momentum"});
  table.add("data.name", options.name,
            {.doc = "data set", .choices = {"cifar10", "cifar100", "fashion"}});
  table.add("data.root", options.root, {.doc = "folder that holds the data set"});
  table.add("data.scale", options.scale,
            {.doc = "smallest and largest share of a crop", .min = 0, .max = 1});
  table.add("data.files", options.files, {.doc = "files to read"});
  table.add("data.index", options.index, {.doc = "rows to take", .min = 0});
  table.add("model.width", options.width,
            {.doc = "width multiplier", .min = 0, .max = 16, .above_min = true});
  return table;
}

class ConfigFolder : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "cltrain-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    before_ = std::filesystem::current_path();
    std::filesystem::current_path(folder_);
    unsetenv("CLTRAIN_UNSET");
  }

  void TearDown() override {
    std::filesystem::current_path(before_);
    std::filesystem::remove_all(folder_);
  }

  static void write(const std::string& file, const std::string& text) {
    const std::filesystem::path parent = std::filesystem::path(file).parent_path();
    if (!parent.empty()) std::filesystem::create_directories(parent);
    std::ofstream(file, std::ios::binary) << text;
  }

  /// Loads `file` with `overrides`; "search" is a search folder.
  ResolvedConfig load(const std::string& file, std::vector<std::string> overrides = {}) {
    options = SampleOptions();
    table = table_of(options);
    return load_config({file, std::move(overrides), {"search"}}, table);
  }

  /// Loads main.yaml with this text.
  ResolvedConfig load_text(const std::string& text, std::vector<std::string> overrides = {}) {
    write("main.yaml", text);
    return load("main.yaml", std::move(overrides));
  }

  /// What load_text reports, or "no error".
  std::string error_of(const std::string& text, std::vector<std::string> overrides = {}) {
    try {
      load_text(text, std::move(overrides));
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "no error";
  }

  SampleOptions options;
  OptionTable table;

 private:
  std::filesystem::path folder_, before_;
};

}  // namespace cltrain
