// What TensorBoard itself reads from the files is compared in tensorboard_test.py.
#include "monitoring/tensorboard.h"

#include "monitoring/event_file.h"
#include "tests/support/temporary_folder.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

class TensorBoardTest : public ::testing::Test {
 protected:
  TensorBoardSettings settings(int64_t resume_step = 0) {
    return {.folder = folder_ / "tensorboard",
            .resume_step = resume_step,
            .every = 2,
            .flush_seconds = 1e6,
            .warn = [this](const std::string& text) { warnings_.push_back(text); }};
  }

  static StepRecord record(int64_t step) {
    StepRecord record;
    record.step = step;
    record.loss = 2;
    record.phase_seconds = {{"forward", 1.0}};
    return record;
  }

  static std::string content(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  /// The events of a file; framing and checksums must be right to the last byte.
  static std::vector<std::string> events(const fs::path& path) {
    const std::string all = content(path);
    std::vector<std::string> found;
    for (size_t at = 0; at < all.size();) {
      const size_t size =
          static_cast<unsigned char>(all[at]) + 256 * static_cast<unsigned char>(all[at + 1]);
      found.push_back(all.substr(at + 12, size));
      EXPECT_EQ(all.substr(at, size + 16), framed(found.back()));
      at += size + 16;
    }
    return found;
  }

  static int64_t holding(const std::vector<std::string>& events, const std::string& text) {
    return std::count_if(events.begin(), events.end(), [&](const std::string& event) {
      return event.find(text) != std::string::npos;
    });
  }

  testing::TemporaryFolder folder_;
  std::vector<std::string> warnings_;
};

TEST_F(TensorBoardTest, FileBeginsWithVersionAndStart) {
  TensorBoardSink sink(settings(17));
  const std::vector<std::string> got = events(sink.path());
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].substr(9), file_version_event(0).substr(9));
  EXPECT_EQ(got[1].substr(9), start_event(0, 18).substr(9));
}

TEST_F(TensorBoardTest, PointsWaitForACheckpointAnEvaluationAFlushOrTheEnd) {
  TensorBoardSink sink(settings());
  sink.step(record(1));
  EXPECT_EQ(events(sink.path()).size(), 2u);
  sink.flush();
  EXPECT_EQ(events(sink.path()).size(), 3u);
  sink.checkpoint({1, "somewhere", 0.5, 1000});
  EXPECT_EQ(events(sink.path()).size(), 4u);
  sink.evaluation({1, "knn", {{"top1", 0.5}}, 1});
  EXPECT_EQ(events(sink.path()).size(), 5u);
  sink.step(record(2));
  sink.close();
  EXPECT_EQ(events(sink.path()).size(), 7u);  // step 2 and the means of steps 1 and 2
  TensorBoardSettings at_once = settings();
  at_once.flush_seconds = 0;
  TensorBoardSink other(at_once);
  other.step(record(1));
  EXPECT_EQ(events(other.path()).size(), 3u);
}

TEST_F(TensorBoardTest, SlowSeriesAreMeansOverTheStepsSinceTheLast) {
  TensorBoardSink sink(settings());
  for (int64_t step = 1; step <= 4; ++step) {
    StepRecord r = record(step);
    r.phase_seconds = {{"forward", static_cast<double>(step)}};
    r.data_errors = {{"damaged", 1.0}};
    sink.step(r);
  }
  sink.close();
  const std::vector<std::string> got = events(sink.path());
  EXPECT_EQ(holding(got, "phase_seconds/forward"), 2);
  const auto value = [](const std::string& tag, double v) {
    return scalars_event(0, 0, {{tag, v}}).substr(9 + 2);  // of the summary: its one value
  };
  EXPECT_EQ(holding(got, value("phase_seconds/forward", 1.5)), 1);
  EXPECT_EQ(holding(got, value("phase_seconds/forward", 3.5)), 1);
  EXPECT_EQ(holding(got, value("data_errors", 2)), 1);
  EXPECT_EQ(holding(got, value("data_errors", 4)), 1);
}

TEST_F(TensorBoardTest, WhatWasNotMeasuredIsNotWritten) {
  TensorBoardSink sink(settings());
  sink.step(record(1));
  StepRecord measured = record(3);
  measured.parameter_norm = 7;
  measured.similarity = {{"uniformity", -2}};
  sink.step(measured);
  sink.close();
  const std::vector<std::string> got = events(sink.path());
  EXPECT_EQ(holding(got, "loss"), 2);
  EXPECT_EQ(holding(got, "parameter_norm"), 1);
  EXPECT_EQ(holding(got, "similarity/uniformity"), 1);
}

TEST_F(TensorBoardTest, EvaluationsRecordedBeforeTheRestartAreNotRepeated) {
  TensorBoardSettings resumed = settings(10);
  resumed.probes_at_resume = {"knn"};
  TensorBoardSink sink(resumed);
  sink.evaluation({10, "knn", {{"top1", 0.5}}, 1});
  sink.evaluation({10, "linear", {{"top1", 0.5}}, 1});
  sink.evaluation({20, "knn", {{"top1", 0.5}}, 1});
  sink.close();
  const std::vector<std::string> got = events(sink.path());
  EXPECT_EQ(holding(got, "evaluation/knn/top1"), 1);
  EXPECT_EQ(holding(got, "evaluation/linear/top1"), 1);
}

TEST_F(TensorBoardTest, FilesOfLaterSessionsSortAfterEarlierOnes) {
  std::vector<fs::path> paths;
  for (int session = 0; session < 4; ++session) {  // all within a second
    TensorBoardSink sink(settings());
    paths.push_back(sink.path());
  }
  // A clock that stood in the year 2100.
  std::ofstream(folder_ / "tensorboard/events.out.tfevents.4102444800.elsewhere.1") << "";
  paths.push_back(folder_ / "tensorboard/events.out.tfevents.4102444800.elsewhere.1");
  paths.push_back(TensorBoardSink(settings()).path());
  EXPECT_TRUE(std::is_sorted(paths.begin(), paths.end()));
  EXPECT_EQ(std::set<fs::path>(paths.begin(), paths.end()).size(), paths.size());
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(TensorBoardTest, AFolderThatCannotBeMadeIsOneWarning) {
  std::ofstream(folder_ / "tensorboard") << "a file";
  TensorBoardSink sink(settings());
  sink.step(record(1));
  sink.checkpoint({1, "somewhere", 0.5, 1000});
  sink.close();
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_NE(warnings_[0].find((folder_ / "tensorboard").string()), std::string::npos);
  EXPECT_NE(warnings_[0].find("metrics.tensorboard=false"), std::string::npos) << warnings_[0];
  EXPECT_EQ(sink.path(), "");
}

TEST_F(TensorBoardTest, AFullDiskIsOneWarningAndTheEndOfTheFile) {
  TensorBoardSink sink(settings());
  const std::string before = content(sink.path());
  // A limit on the file size refuses the write as a full disk does.
  rlimit unlimited{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
  const rlimit small{.rlim_cur = before.size(), .rlim_max = unlimited.rlim_max};
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  sink.step(record(1));
  sink.flush();
  setrlimit(RLIMIT_FSIZE, &unlimited);
  signal(SIGXFSZ, handler);
  sink.step(record(2));
  sink.close();
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_NE(warnings_[0].find("events.out.tfevents."), std::string::npos) << warnings_[0];
  EXPECT_EQ(content(sink.path()), before);
}

}  // namespace
}  // namespace cltrain
