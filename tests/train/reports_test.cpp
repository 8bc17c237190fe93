// The small parts beside the loop: the fingerprint of a batch, the phase clock, durable files,
// summary.json and the reports.
#include "tests/train/folder.h"
#include "train/files.h"
#include "train/ids_hash.h"
#include "train/phase_clock.h"
#include "train/summary.h"

#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thread>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::mentions;
using testing::TemporaryFolder;

at::Tensor ids(const std::vector<int64_t>& values) {
  return at::tensor(values, at::kLong);
}

// Test vectors of FNV-1a 64 (Fowler, Noll, Vo): "" and, as the bytes of one id, "foobar\0\0" by
// hand.
TEST(IdsHash, KnownAnswers) {
  EXPECT_EQ(hash_of_ids(at::empty({0}, at::kLong)), "cbf29ce484222325");
  const int64_t foobar = 0x7261626f6f66;  // little-endian bytes: f o o b a r 0 0
  // fnv1a("foobar") = 85944171f73967e8; a zero byte multiplies by the prime.
  const uint64_t prime = 0x100000001b3;
  const uint64_t expected = 0x85944171f73967e8 * prime * prime;
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(expected));
  EXPECT_EQ(hash_of_ids(ids({foobar})), text);
}

TEST(IdsHash, ValuesOrderAndLengthCount) {
  const std::set<std::string> hashes{hash_of_ids(ids({1, 2, 3})), hash_of_ids(ids({1, 3, 2})),
                                     hash_of_ids(ids({1, 2})), hash_of_ids(ids({1, 2, 3, 0})),
                                     hash_of_ids(ids({1, 2, int64_t{3} << 32}))};
  EXPECT_EQ(hashes.size(), 5u);
  for (const std::string& hash : hashes) EXPECT_EQ(hash.size(), 16u);
}

double seconds_of(const std::vector<std::pair<std::string, double>>& all, const std::string& name) {
  for (const auto& [phase, seconds] : all)
    if (phase == name) return seconds;
  return -1;
}

TEST(PhaseClock, AddsTheTimeOfEachPhaseUp) {
  PhaseClock clock;
  const auto wait = [](int milliseconds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  };
  const auto before = std::chrono::steady_clock::now();
  clock.enter("data");
  wait(20);
  clock.enter("forward");
  wait(5);
  clock.enter("data");
  wait(20);
  const auto first = clock.take();
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - before;
  ASSERT_EQ(first.size(), 2u);
  EXPECT_GE(seconds_of(first, "data"), 0.040);
  EXPECT_GE(seconds_of(first, "forward"), 0.005);
  EXPECT_LE(seconds_of(first, "data") + seconds_of(first, "forward"), passed.count());
  // The running phase goes on after take(), from zero.
  wait(10);
  const auto second = clock.take();
  ASSERT_EQ(second.size(), 1u);
  EXPECT_GE(seconds_of(second, "data"), 0.010);
  EXPECT_LT(seconds_of(second, "data"), 0.040);
}

TEST(PhaseClock, BeforeTheFirstPhaseThereIsNothing) {
  PhaseClock clock;
  EXPECT_TRUE(clock.take().empty());
}

TEST(Files, AreWrittenWholeAndReplaced) {
  const TemporaryFolder folder;
  write_file_durably(folder / "a", {"one", "", std::string_view("\0two", 4)});
  EXPECT_EQ(read_file(folder / "a"), std::string("one\0two", 7));
  write_file_durably(folder / "a", {"x"});
  EXPECT_EQ(read_file(folder / "a"), "x");
  replace_file_durably(folder / "a", "y");
  EXPECT_EQ(read_file(folder / "a"), "y");
  replace_file_durably(folder / "a", "");
  EXPECT_EQ(read_file(folder / "a"), "");
  EXPECT_FALSE(fs::exists(folder / "a.tmp"));
  const std::string large(1'000'003, 'z');
  write_file_durably(folder / "large", {large});
  EXPECT_EQ(read_file(folder / "large"), large);
}

TEST(Files, ErrorsNameTheFileAndTheReason) {
  const TemporaryFolder folder;
  const fs::path missing = folder / "no" / "file";
  const std::string text = testing::error_of<IoError>([&] { write_file_durably(missing, {"x"}); });
  EXPECT_TRUE(mentions(text, missing.string())) << text;
  EXPECT_TRUE(mentions(text, "No such file or directory")) << text;
  EXPECT_THROW(read_file(missing), std::runtime_error);
  EXPECT_THROW(read_file(folder.path()), std::runtime_error);
  EXPECT_THROW(sync_folder(folder / "no"), IoError);
  EXPECT_THROW(write_file_durably("/dev/full", {"x"}), IoError);
}

TEST(Summary, HoldsWhatTheRunDidAndItsLastLines) {
  const TemporaryFolder run;
  EXPECT_FALSE(finished_steps(run.path()).has_value());
  testing::write_text(run / "metrics.jsonl",
                      "{\"step\":1,\"loss\":5.5}\n{\"step\":2,\"loss\":4.25}\n");
  testing::write_text(run / "evaluations.jsonl",
                      R"({"step":0,"probe":"raw_pixels","scores":{"top1":0.5}})"
                      "\n"
                      R"({"step":1,"probe":"knn","scores":{"top1":0.25}})"
                      "\n"
                      R"({"step":2,"probe":"knn","scores":{"top1":0.75}})"
                      "\n");
  write_summary_file(run.path(), {.method = "simclr",
                                  .config = "x.yaml",
                                  .ranks = 4,
                                  .global_batch = 64,
                                  .negatives_per_anchor = 126,
                                  .steps = 2,
                                  .samples_seen = 128,
                                  .skipped_steps = 1,
                                  .samples_per_second = 12.5,
                                  .peak_rss_bytes = 1000,
                                  .state_sha256 = "ab"});
  const json summary = json::parse(testing::read_text(run / "summary.json"));
  const json expected = {
      {"method", "simclr"},
      {"config", "x.yaml"},
      {"ranks", 4},
      {"global_batch", 64},
      {"negatives_per_anchor", 126},
      {"steps", 2},
      {"samples_seen", 128},
      {"skipped_steps", 1},
      {"loss", 4.25},
      {"samples_per_second", 12.5},
      {"peak_rss_bytes", 1000},
      {"state_sha256", "ab"},
      {"eval",
       {{"raw_pixels", {{"top1", 0.5}, {"step", 0}}}, {"knn", {{"top1", 0.75}, {"step", 2}}}}}};
  EXPECT_EQ(summary, expected);
  EXPECT_EQ(finished_steps(run.path()), 2);
  const std::string table = results_table(run.path());
  EXPECT_TRUE(mentions(table, "raw pixels          50.00 %   (step 0)")) << table;
  EXPECT_TRUE(mentions(table, "trained encoder     75.00 %   (step 2)")) << table;
  EXPECT_FALSE(mentions(table, "untrained")) << table;
  EXPECT_FALSE(mentions(table, "classifier")) << table;
  testing::write_text(run / "evaluations.jsonl",
                      R"({"step":2,"probe":"classifier","scores":{"top1":0.875,"top5":1}})"
                      "\n");
  EXPECT_EQ(results_table(run.path()),
            "classifier top-1 on the test set:\n  trained on labels   87.50 %   (step 2)\n");
}

TEST(Summary, WithoutEvaluationsAndSpeed) {
  const TemporaryFolder run;
  write_summary_file(run.path(), {.samples_per_second = std::nan("")});
  const json summary = json::parse(testing::read_text(run / "summary.json"));
  EXPECT_TRUE(summary.at("loss").is_null());
  EXPECT_TRUE(summary.at("samples_per_second").is_null());
  EXPECT_TRUE(summary.at("eval").empty());
  EXPECT_EQ(results_table(run.path()), "");
}

TEST(Summary, ADamagedOneIsNamed) {
  const TemporaryFolder run;
  for (const char* text : {"", "{", "{\"steps\":\"x\"}", "{}", "[]"}) {
    testing::write_text(run / "summary.json", text);
    const std::string error =
        testing::error_of<RunDirectoryError>([&] { finished_steps(run.path()); });
    EXPECT_TRUE(mentions(error, (run / "summary.json").string())) << error;
  }
}

TEST(Summary, ReportsAreAppendedBeforeAndAfterTheRunsEnd) {
  const TemporaryFolder run;
  ProbeReport report{.probe = "knn", .protocol = "k = 5", .weights = "checkpoint of step 2"};
  report.accuracy.top1 = 0.5;
  report.accuracy.classes = {{.label = 3, .queries = 4, .top1 = 0.25}};
  append_report(run.path(), report);
  EXPECT_EQ(finished_steps(run.path()), std::nullopt) << "only evaluations: not finished";
  write_summary_file(run.path(), {.method = "simclr", .steps = 7});
  report.probe = "linear";
  append_report(run.path(), report);
  EXPECT_EQ(finished_steps(run.path()), 7);
  const json found = json::parse(testing::read_text(run / "summary.json")).at("evaluations");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].at("probe"), "knn");
  EXPECT_EQ(found[1].at("probe"), "linear");
  EXPECT_EQ(found[1].at("top1"), 0.5);
  EXPECT_EQ(found[1].at("per_class")[0], (json{{"label", 3}, {"queries", 4}, {"top1", 0.25}}));
}

TEST(NonfiniteReport, IsOneLineOfJson) {
  const double infinite = -std::numeric_limits<double>::infinity();
  const std::string text = nonfinite_report(17, infinite, ids({5, 3, 9}), ids({3}));
  EXPECT_EQ(text.find('\n'), text.size() - 1);
  const json report = json::parse(text);
  EXPECT_EQ(report.at("step"), 17);
  EXPECT_TRUE(report.at("loss").is_null());
  EXPECT_EQ(report.at("loss_text"), "-inf");
  EXPECT_EQ(report.at("ids"), json({5, 3, 9}));
  EXPECT_EQ(report.at("ids_not_finite"), json({3}));
}

TEST(PeakRss, IsAtLeastWhatIsHeld) {
  const std::string held(64 << 20, 'x');
  EXPECT_GE(peak_rss_bytes(), static_cast<int64_t>(held.size()));
}

}  // namespace
}  // namespace cltrain
