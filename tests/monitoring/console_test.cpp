#include "monitoring/console.h"

#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

/// A console that writes to a temporary file, and a clock the test moves.
class ConsoleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    file_ = std::tmpfile();
    ASSERT_NE(file_, nullptr);
  }
  void TearDown() override { std::fclose(file_); }

  ConsoleSink make(bool terminal, int64_t total) {
    return ConsoleSink(file_, {.terminal = terminal,
                               .total_steps = total,
                               .seconds_between_lines = 5,
                               .clock = [this] { return now_; }});
  }

  StepRecord record(int64_t step) const {
    StepRecord r;
    r.step = step;
    r.epoch = 2;
    r.loss = 4.125;
    r.learning_rate = 0.25;
    r.samples_per_second = 512;
    r.step_seconds = 2;
    r.phase_seconds = {{"data", 0.5}, {"forward", 1.5}};
    return r;
  }

  std::string text() {
    std::string all;
    std::rewind(file_);
    for (int c; (c = std::fgetc(file_)) != EOF;) all += static_cast<char>(c);
    return all;
  }

  std::vector<std::string> lines() {
    std::istringstream stream(text());
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  }

  FILE* file_ = nullptr;
  double now_ = 1000;
};

TEST_F(ConsoleTest, FileModeWritesFirstLastAndOneEachInterval) {
  ConsoleSink console = make(false, 10);
  for (int64_t step = 1; step <= 10; ++step) {  // 2 s a step: lines at 1, 4 (6 s later), 7, 10
    console.step(record(step));
    now_ += 2;
  }
  console.close();
  const std::vector<std::string> got = lines();
  ASSERT_EQ(got.size(), 4u) << text();
  EXPECT_NE(got[0].find("step 1/10"), std::string::npos);
  EXPECT_NE(got[1].find("step 4/10"), std::string::npos);
  EXPECT_NE(got[2].find("step 7/10"), std::string::npos);
  EXPECT_NE(got[3].find("step 10/10"), std::string::npos);
  EXPECT_EQ(got[1],
            "epoch 2  step 4/10  loss 4.1250  lr 0.25  512 samples/s  data wait 25.0 %  left 12s");
  EXPECT_EQ(text().find('\r'), std::string::npos);
  EXPECT_EQ(text().find('\x1b'), std::string::npos);
}

TEST_F(ConsoleTest, FileModeShowsTheLastStepOfAStoppedRun) {
  ConsoleSink console = make(false, 100);
  for (int64_t step = 1; step <= 3; ++step) console.step(record(step));  // no time passes
  EXPECT_EQ(lines().size(), 1u);
  console.close();
  ASSERT_EQ(lines().size(), 2u);
  EXPECT_NE(lines()[1].find("step 3/100"), std::string::npos);
}

TEST_F(ConsoleTest, TerminalRewritesOneLineAtMostTenTimesASecond) {
  ConsoleSink console = make(true, 1000);
  for (int64_t step = 1; step <= 100; ++step) {  // 1 s in all, 10 ms a step
    console.step(record(step));
    now_ += 0.01;
  }
  const std::string before = text();
  size_t rewrites = 0;
  for (char c : before) rewrites += c == '\r';
  EXPECT_GE(rewrites, 9u);
  EXPECT_LE(rewrites, 11u);
  EXPECT_EQ(before.find('\n'), std::string::npos);
  console.message("hello");
  console.close();
  // The message takes the progress line's place and stands on a line of its own.
  EXPECT_NE(text().find("\r\x1b[Khello\n"), std::string::npos);
  EXPECT_EQ(text().back(), '\n');
}

TEST_F(ConsoleTest, TerminalKeepsTheLineOfTheLastStep) {
  ConsoleSink console = make(true, 2);
  console.step(record(1));
  console.step(record(2));
  console.message("done");
  console.close();
  EXPECT_TRUE(text().ends_with("\x1b[K\ndone\n")) << text();
  EXPECT_NE(lines().at(0).find("step 2/2"), std::string::npos);
}

TEST_F(ConsoleTest, EvaluationsCheckpointsAndRefusalsAreShown) {
  ConsoleSink console = make(false, 0);
  StepRecord refused = record(7);
  refused.refused = true;
  console.step(record(6));
  console.step(refused);
  console.evaluation({7, "knn", {{"top1", 0.84251}, {"top5", 0.99}}, 3.21});
  console.checkpoint({7, "runs/x/checkpoints/step-7", 0.5});
  const std::vector<std::string> got = lines();
  ASSERT_EQ(got.size(), 4u);
  EXPECT_NE(got[1].find("step 7  loss"), std::string::npos);  // no total: no "/" and no time left
  EXPECT_EQ(got[1].find("left"), std::string::npos);
  EXPECT_NE(got[1].find("refused"), std::string::npos);
  EXPECT_EQ(got[2], "step 7  knn: top1 0.8425, top5 0.9900  (3.2 s)");
  EXPECT_EQ(got[3], "step 7  checkpoint runs/x/checkpoints/step-7  (0.5 s)");
}

TEST_F(ConsoleTest, FailuresToWriteAreShown) {
  ConsoleSink console = make(false, 0);
  console.write_failure("WARNING: no space left");
  EXPECT_EQ(text(), "WARNING: no space left\n");
}

TEST(Console, Durations) {
  EXPECT_EQ(format_duration(3.4), "3s");
  EXPECT_EQ(format_duration(59.6), "1m00s");
  EXPECT_EQ(format_duration(252), "4m12s");
  EXPECT_EQ(format_duration(7500), "2h05m");
  EXPECT_EQ(format_duration(-1), "0s");
}

TEST(Console, AFileIsNoTerminal) {
  FILE* file = std::tmpfile();
  EXPECT_FALSE(shown_on_terminal(file));
  std::fclose(file);
}

}  // namespace
}  // namespace cltrain
