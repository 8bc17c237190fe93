// The run directory: whose it is, which options may change, and that nothing foreign is touched.
#include "train/run_directory.h"

#include "tests/train/folder.h"
#include "train/files.h"
#include "train/options.h"

#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::mentions;

/// The options of a run, as the launcher's table holds them.
struct Options {
  TrainOptions values;
  OptionTable table;
  Options() { describe(table, values); }
  Options(const Options&) = delete;
};

class RunDirectoryTest : public ::testing::Test {
 protected:
  fs::path run() const { return root_ / "run"; }
  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(run()))
      names.insert(fs::relative(entry.path(), run()).string());
    return names;
  }
  testing::TemporaryFolder root_;
};

TEST_F(RunDirectoryTest, AFreshOneHoldsTheResolvedConfig) {
  Options options;
  options.values.optim.lr = 0.125;
  const RunDirectory directory(run() / "deep" / "er", options.table);
  EXPECT_EQ(directory.path(), run() / "deep" / "er");
  EXPECT_TRUE(directory.notes().empty());
  const std::string config = testing::read_text(run() / "deep" / "er" / "config.resolved.yaml");
  EXPECT_TRUE(mentions(config, "lr: 0.125")) << config;
}

TEST_F(RunDirectoryTest, AnEmptyFolderIsTaken) {
  fs::create_directory(run());
  Options options;
  EXPECT_NO_THROW(RunDirectory(run(), options.table));
}

TEST_F(RunDirectoryTest, TheSameOptionsContinueSilently) {
  Options options;
  { const RunDirectory first(run(), options.table); }
  const RunDirectory second(run(), options.table);
  EXPECT_TRUE(second.notes().empty());
}

TEST_F(RunDirectoryTest, ASafeChangeIsNotedAndRecorded) {
  Options before, after;
  RunDirectory(run(), before.table).begin_session(1, "host", "commit", 0);
  after.values.train.epochs = 200;
  {
    const RunDirectory second(run(), after.table);
    ASSERT_EQ(second.notes().size(), 1u);
    EXPECT_TRUE(mentions(second.notes()[0], "train.epochs: 100 -> 200")) << second.notes()[0];
  }
  const RunDirectory third(run(), after.table);
  EXPECT_TRUE(third.notes().empty());
}

TEST_F(RunDirectoryTest, AStartThatBeganNoSessionBindsNobody) {
  Options before, after;
  { const RunDirectory first(run(), before.table); }
  after.values.optim.lr = 0.5;
  const RunDirectory second(run(), after.table);
  EXPECT_TRUE(second.notes().empty());
  EXPECT_TRUE(mentions(testing::read_text(run() / "config.resolved.yaml"), "lr: 0.5"));
}

TEST_F(RunDirectoryTest, SessionsAreCounted) {
  Options options;
  const RunDirectory directory(run(), options.table);
  EXPECT_EQ(directory.begin_session(2, "here", "abc", 0), 0);
  EXPECT_EQ(directory.begin_session(3, "here", "abc", 40), 1);
  const std::string text = testing::read_text(run() / "sessions.jsonl");
  EXPECT_TRUE(mentions(text, "\"ranks\":3")) << text;
  EXPECT_TRUE(mentions(text, "\"resumed_step\":40")) << text;
}

TEST_F(RunDirectoryTest, OtherChangesAreRefusedWithTheirDifference) {
  Options before, after;
  RunDirectory(run(), before.table).begin_session(1, "host", "commit", 0);
  const std::string config = testing::read_text(run() / "config.resolved.yaml");
  const std::set<std::string> held = files();
  after.values.optim.lr = 0.5;
  after.values.run.seed = 9;
  after.values.train.epochs = 200;
  const std::string text = error_of<RunDirectoryError>([&] { RunDirectory(run(), after.table); });
  EXPECT_TRUE(mentions(text, "optim.lr: 0.3 -> 0.5")) << text;
  EXPECT_TRUE(mentions(text, "run.seed: 1 -> 9")) << text;
  EXPECT_FALSE(mentions(text, "train.epochs")) << text;
  EXPECT_TRUE(mentions(text, run().string())) << text;
  EXPECT_EQ(testing::read_text(run() / "config.resolved.yaml"), config);
  EXPECT_EQ(files(), held);
  EXPECT_NO_THROW(RunDirectory(run(), before.table));  // and the lock was let go
}

TEST_F(RunDirectoryTest, AForeignFolderIsRefusedUntouched) {
  fs::create_directory(run());
  testing::write_text(run() / "thesis.tex", "years of work");
  Options options;
  const std::string text = error_of<RunDirectoryError>([&] { RunDirectory(run(), options.table); });
  EXPECT_TRUE(mentions(text, "thesis.tex")) << text;
  EXPECT_EQ(files(), std::set<std::string>{"thesis.tex"});
}

TEST_F(RunDirectoryTest, AFileAndAnUnwritablePlaceAreRefused) {
  testing::write_text(run(), "I am a file");
  Options options;
  EXPECT_TRUE(mentions(error_of<RunDirectoryError>([&] { RunDirectory(run(), options.table); }),
                       "is a file"));
  const fs::path below = run() / "below";
  EXPECT_TRUE(mentions(error_of<RunDirectoryError>([&] { RunDirectory(below, options.table); }),
                       below.string()));
  EXPECT_THROW(RunDirectory("/proc/cltrain-run", options.table), RunDirectoryError);
}

TEST_F(RunDirectoryTest, ARunKilledWhileItWasMadeIsTakenUp) {
  fs::create_directory(run());
  testing::write_text(run() / ".lock", "");
  testing::write_text(run() / "config.resolved.yaml.tmp", "half");
  Options options;
  EXPECT_NO_THROW(RunDirectory(run(), options.table));
}

TEST_F(RunDirectoryTest, ASecondCltrainIsRefusedWhileTheFirstWorks) {
  Options options;
  auto first = std::make_unique<RunDirectory>(run(), options.table);
  EXPECT_TRUE(mentions(error_of<RunDirectoryError>([&] { RunDirectory(run(), options.table); }),
                       "another cltrain"));
  first.reset();
  EXPECT_NO_THROW(RunDirectory(run(), options.table));
}

// The kernel lets the lock go with the process, however it ends.
TEST_F(RunDirectoryTest, TheLockOfAKilledRunIsFree) {
  Options options;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const RunDirectory held(run(), options.table);
    raise(SIGKILL);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_TRUE(fs::exists(run() / "config.resolved.yaml"));
  EXPECT_NO_THROW(RunDirectory(run(), options.table));
}

}  // namespace
}  // namespace cltrain
