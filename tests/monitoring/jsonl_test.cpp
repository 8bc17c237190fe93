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

TEST_F(JsonlTest, MeasuresOfHealthAreThereWhereTheyWereMeasured) {
  StepRecord plain = record(1);
  plain.gradient_norm = 0.75;
  plain.slowest_rank = 3;
  plain.slowest_lag_seconds = 0.25;
  plain.communication_bytes = {{"all_gather", 3e9}, {"broadcast", 0}};
  plain.batches_ready = 2;
  plain.resident_bytes = 5'000'000'000;
  plain.data_errors = {{"damaged", 0}};
  StepRecord measured = plain;
  measured.step = 2;
  measured.parameter_norm = 12.5;
  measured.similarity = {{"embedding_std", 0.0625},
                         {"uniformity", -std::numeric_limits<double>::infinity()}};
  measured.device_bytes = 1 << 20;
  measured.data_errors = {{"damaged", 2}, {"too_large", 0}};
  JsonlSink sink(path_, 0);
  sink.step(plain);
  sink.step(measured);
  const json first = json::parse(lines().at(0)), second = json::parse(lines().at(1));
  EXPECT_EQ(first["gradient_norm"], 0.75);
  EXPECT_EQ(first["slowest_rank"], 3);
  EXPECT_EQ(first["slowest_lag_seconds"], 0.25);
  EXPECT_EQ(first["communication_bytes"], (json{{"all_gather", 3'000'000'000}}));
  EXPECT_NE(lines()[0].find("\"all_gather\":3000000000}"), std::string::npos) << lines()[0];
  EXPECT_EQ(first["batches_ready"], 2);
  EXPECT_EQ(first["resident_bytes"], 5'000'000'000);
  for (const char* absent : {"parameter_norm", "similarity", "device_bytes", "data_errors"})
    EXPECT_FALSE(first.contains(absent)) << absent;
  EXPECT_EQ(second["parameter_norm"], 12.5);
  EXPECT_EQ(second["similarity"]["embedding_std"], 0.0625);
  EXPECT_EQ(second["similarity"]["uniformity_text"], "-inf");
  EXPECT_EQ(second["device_bytes"], 1 << 20);
  EXPECT_EQ(second["data_errors"], (json{{"damaged", 2}}));
}

TEST_F(JsonlTest, LinesOfEarlierVersionsAreContinued) {
  append_raw(R"({"step":1,"epoch":0,"loss":5.1,"lr":0.3,"samples_per_second":1234.5,)"
             R"("ids_hash":"ab","samples":256})"
             "\n");
  write_steps(1, 2, 3);
  EXPECT_EQ(steps(), one_to(3));
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

TEST_F(JsonlTest, FileThatCannotBeOpenedIsAnError) {
  EXPECT_THROW(JsonlSink(folder_ / "no_such_folder" / "metrics.jsonl", 0), RecordError);
}

TEST_F(JsonlTest, WhatAFullDiskRefusesIsHeldBackAndWrittenLater) {
  JsonlSink sink(path_, 0);
  sink.step(record(1));
  // A limit on the file size refuses the write as a full disk does: in the middle of a line.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{.rlim_cur = fs::file_size(path_) + 40, .rlim_max = before.rlim_max};
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string said;
  EXPECT_NO_THROW(sink.step(record(2)));
  EXPECT_NO_THROW(sink.step(record(3)));
  EXPECT_EQ(fs::file_size(path_), small.rlim_cur);
  try {
    sink.flush();
  } catch (const RecordError& error) {
    said = error.what();
  }
  EXPECT_THROW(sink.close(), RecordError);
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  EXPECT_NE(said.find(path_.string()), std::string::npos) << said;
  EXPECT_NE(said.find("free space"), std::string::npos) << said;
  EXPECT_NO_THROW(sink.flush());
  EXPECT_EQ(steps(), one_to(3));
  sink.step(record(4));
  EXPECT_NO_THROW(sink.close());
  EXPECT_EQ(steps(), one_to(4));
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
  using Probes = std::set<std::string>;
  EXPECT_EQ(recorded_probes(folder_ / "evaluations.jsonl", 10), (Probes{"knn", "raw", "linear"}));
  EXPECT_EQ(recorded_probes(folder_ / "evaluations.jsonl", 11), Probes{});
  EXPECT_EQ(recorded_probes(folder_ / "nothing.jsonl", 10), Probes{});
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
