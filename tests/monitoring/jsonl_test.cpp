#include "monitoring/jsonl.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class JsonlTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "cltrain_jsonl_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = folder_ / "metrics.jsonl";
  }
  void TearDown() override { fs::remove_all(folder_); }

  static StepRecord record(int64_t step) {
    StepRecord record;
    record.step = step;
    record.epoch = step / 10;
    record.loss = 1.0 / static_cast<double>(step);
    record.learning_rate = 0.1;
    record.samples_per_second = 1234.5;
    record.ids_hash = "ab12";
    record.samples = 256;
    return record;
  }

  void write_steps(int64_t resume, int64_t first, int64_t last) {
    JsonlSink sink(path_, resume);
    for (int64_t step = first; step <= last; ++step) sink.step(record(step));
  }

  std::vector<std::string> lines(const char* name = "metrics.jsonl") const {
    std::ifstream file(folder_ / name);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }

  std::vector<int64_t> steps() const {
    std::vector<int64_t> steps;
    for (const std::string& line : lines()) steps.push_back(json::parse(line)["step"]);
    return steps;
  }

  void append_raw(const std::string& text) {
    std::ofstream(path_, std::ios::app | std::ios::binary) << text;
  }

  fs::path folder_, path_;
};

std::vector<int64_t> one_to(int64_t last) {
  std::vector<int64_t> steps(static_cast<size_t>(last));
  std::iota(steps.begin(), steps.end(), 1);
  return steps;
}

TEST_F(JsonlTest, LineHasTheFieldsAndExactNumbers) {
  StepRecord r = record(3);
  r.loss = 0x1.921fb54442d17p+1;  // one bit below pi
  r.scalars = {{"temperature", 0.1 + 0.2}};
  r.phase_seconds = {{"data", 1e-7}};
  JsonlSink sink(path_, 0);
  sink.step(r);
  // Read while the sink is open: every line is on its way as soon as step() returns.
  ASSERT_EQ(lines().size(), 1u);
  const std::string text = lines()[0];
  const json line = json::parse(text);
  EXPECT_EQ(line["step"], 3);
  EXPECT_EQ(line["epoch"], 0);
  EXPECT_EQ(line["lr"], 0.1);
  EXPECT_EQ(line["samples_per_second"], 1234.5);
  EXPECT_EQ(line["ids_hash"], "ab12");
  EXPECT_EQ(line["samples"], 256);
  EXPECT_EQ(line["scalars"]["temperature"].get<double>(), 0.1 + 0.2);
  EXPECT_EQ(line["phase_seconds"]["data"].get<double>(), 1e-7);
  EXPECT_FALSE(line.contains("refused"));
  // strtod rather than the library that wrote it.
  const size_t at = text.find("\"loss\":");
  ASSERT_NE(at, std::string::npos);
  EXPECT_EQ(std::strtod(text.c_str() + at + 7, nullptr), r.loss);
}

TEST_F(JsonlTest, ValuesThatAreNotNumbersAreNullWithText) {
  StepRecord r = record(1);
  r.loss = std::numeric_limits<double>::quiet_NaN();
  r.scalars = {{"a", std::numeric_limits<double>::infinity()},
               {"b", -std::numeric_limits<double>::infinity()}};
  r.refused = true;
  JsonlSink(path_, 0).step(r);
  const json line = json::parse(lines().at(0));
  EXPECT_TRUE(line["loss"].is_null());
  EXPECT_EQ(line["loss_text"], "nan");
  EXPECT_EQ(line["scalars"]["a_text"], "inf");
  EXPECT_EQ(line["scalars"]["b_text"], "-inf");
  EXPECT_EQ(line["refused"], true);
}

TEST_F(JsonlTest, ResumeLeavesEachStepOnce) {
  write_steps(0, 1, 17);
  write_steps(15, 16, 30);  // killed after 17, continued from the checkpoint of 15
  EXPECT_EQ(steps(), one_to(30));
  write_steps(30, 31, 31);  // nothing to cut
  EXPECT_EQ(steps(), one_to(31));
}

TEST_F(JsonlTest, TornLastLineIsCut) {
  write_steps(0, 1, 5);
  append_raw(R"({"step":6,"epoch":0,"lo)");
  write_steps(5, 6, 8);
  EXPECT_EQ(steps(), one_to(8));
  // Whole but for its newline: as torn as any other.
  append_raw(R"({"step":9})");
  write_steps(9, 9, 9);
  EXPECT_EQ(steps(), one_to(9));
}

TEST_F(JsonlTest, FreshRunEmptiesLeftovers) {
  write_steps(0, 1, 9);
  write_steps(0, 1, 2);
  EXPECT_EQ(steps(), one_to(2));
}

TEST_F(JsonlTest, DamageIsNamedAndNothingIsLost) {
  write_steps(0, 1, 2);
  append_raw("garbage\n");
  append_raw(R"({"step":3})"
             "\n");
  const auto size = fs::file_size(path_);
  try {
    JsonlSink sink(path_, 3);
    FAIL() << "a damaged line was accepted";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("metrics.jsonl:3"), std::string::npos) << error.what();
  }
  EXPECT_EQ(fs::file_size(path_), size);
}

TEST_F(JsonlTest, UnwritableFileIsAnError) {
  EXPECT_THROW(JsonlSink(folder_ / "no_such_folder" / "metrics.jsonl", 0), std::runtime_error);
  // A limit on the file size refuses the write as a full disk does.
  JsonlSink sink(path_, 0);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{.rlim_cur = 1, .rlim_max = before.rlim_max};
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THROW(sink.step(record(1)), std::runtime_error);
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
}

TEST_F(JsonlTest, EvaluationsGoToTheirOwnFileOnce) {
  const EvaluationRecord at10{10, "knn", {{"top1", 0.8125}}, 1.5};
  {
    JsonlSink sink(path_, 0);
    sink.evaluation(at10);
    sink.evaluation({10, "raw", {{"top1", 0.5}}, 0.1});
    sink.evaluation({20, "knn", {{"top1", 0.9}}, 1.5});
  }
  {
    JsonlSink sink(path_, 10);  // 20 is cut; 10 was evaluated before the kill
    sink.evaluation(at10);
    sink.evaluation({10, "linear", {{"top1", 0.6}}, 0.1});
    sink.evaluation({20, "knn", {{"top1", 0.9}}, 1.5});
  }
  std::vector<std::string> seen;
  for (const std::string& text : lines("evaluations.jsonl")) {
    const json line = json::parse(text);
    seen.push_back(std::to_string(line["step"].get<int>()) + line["probe"].get<std::string>());
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"10knn", "10raw", "10linear", "20knn"}));
  EXPECT_EQ(json::parse(lines("evaluations.jsonl")[0])["scores"]["top1"], 0.8125);
  EXPECT_TRUE(lines().empty());
}

}  // namespace
}  // namespace cltrain
