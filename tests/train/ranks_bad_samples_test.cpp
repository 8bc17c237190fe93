// The list of bad samples on several ranks: each once, whoever met it; the limit; restarts. And the
// count of samples that evaluation left out.
#include "eval/features.h"
#include "monitoring/sink.h"
#include "support/ranks.h"
#include "train/bad_samples.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::world;

const Communicator& control() {
  return *all_ranks().control;
}

/// What rank 0 finds in the list; the others see nothing of it.
std::vector<nlohmann::json> list_in(const std::filesystem::path& folder) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(folder / "bad_samples.jsonl");
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

std::multiset<int64_t> ids_in(const std::filesystem::path& folder) {
  std::multiset<int64_t> ids;
  for (const auto& line : list_in(folder)) ids.insert(line.at("id").get<int64_t>());
  return ids;
}

/// Rank r met r samples of its own and, unless it is rank 0, sample 7.
std::vector<ReplacedRow> rows_of(int rank) {
  std::vector<ReplacedRow> rows;
  for (int64_t at = 0; at < rank; ++at)
    rows.push_back({100 * rank + at, 5000 + at, at % 2 ? "unreadable" : "damaged",
                    "/data/" + std::to_string(100 * rank + at) + ".jpg: truncated"});
  if (rank > 0) rows.push_back({7, 8, "too_large", ""});
  return rows;
}

TEST(BadSamples, AreListedOnceWhicheverRankMeetsThem) {
  const std::filesystem::path folder = testing::shared_folder("bad-samples");
  BadSamples bad(folder, control(), 10000, 0.01);
  EXPECT_EQ(bad.distinct(), 0);
  EXPECT_FALSE(std::filesystem::exists(folder / "bad_samples.jsonl"));
  std::map<std::string, int64_t> expected_rows;
  std::multiset<int64_t> expected_ids;
  for (int rank = 0; rank < world().size; ++rank)
    for (const ReplacedRow& row : rows_of(rank)) {
      ++expected_rows[row.kind];
      if (!expected_ids.count(row.bad_id)) expected_ids.insert(row.bad_id);
    }
  EXPECT_EQ(bad.note(rows_of(world().rank), 3), expected_rows);
  EXPECT_EQ(bad.distinct(), static_cast<int64_t>(expected_ids.size()));
  // The next epoch meets the same ones, and the last rank another.
  std::vector<ReplacedRow> again = rows_of(world().rank);
  if (world().rank == world().size - 1) again.push_back({9999, 1, "damaged", "new"});
  ++expected_rows["damaged"];
  expected_ids.insert(9999);
  EXPECT_EQ(bad.note(again, 40), expected_rows);
  EXPECT_EQ(bad.distinct(), static_cast<int64_t>(expected_ids.size()));
  EXPECT_NO_THROW(bad.flush());
  control().barrier();
  EXPECT_EQ(ids_in(folder), expected_ids);
  for (const auto& line : list_in(folder)) {
    const auto id = line.at("id").get<int64_t>();
    EXPECT_EQ(line.at("step"), id == 9999 ? 40 : 3);
    if (id < 100 || id == 9999) continue;
    EXPECT_EQ(line.at("kind"), id % 2 ? "unreadable" : "damaged");
    EXPECT_EQ(line.at("replacement"), 5000 + id % 100);
    EXPECT_EQ(line.at("message"), "/data/" + std::to_string(id) + ".jpg: truncated");
  }
  control().barrier();
}

TEST(BadSamples, RestartsContinueTheListAndCutATornLine) {
  const std::filesystem::path folder = testing::shared_folder("bad-restart");
  {
    BadSamples bad(folder, control(), 1000, 0.5);
    bad.note({{10 + world().rank, 1, "damaged", "a \xff\xfe name"}}, 1);
  }
  control().barrier();
  if (world().rank == 0)
    std::ofstream(folder / "bad_samples.jsonl", std::ios::app) << "{\"id\":77,\"kind\":\"dam";
  control().barrier();
  {
    BadSamples bad(folder, control(), 1000, 0.5);
    EXPECT_EQ(bad.distinct(), world().size);  // on every rank
    const std::string long_message(5000, 'm');
    const auto rows =
        bad.note({{10 + world().rank, 1, "damaged", "again"}, {77, 2, "damaged", long_message}}, 5);
    EXPECT_EQ(rows, (std::map<std::string, int64_t>{{"damaged", 2 * world().size}}));
    EXPECT_EQ(bad.distinct(), world().size + 1);
  }
  control().barrier();
  std::multiset<int64_t> expected{77};
  for (int rank = 0; rank < world().size; ++rank) expected.insert(10 + rank);
  EXPECT_EQ(ids_in(folder), expected);
  const auto lines = list_in(folder);
  EXPECT_EQ(lines.front().at("message"), "a \xEF\xBF\xBD\xEF\xBF\xBD name");
  EXPECT_EQ(lines.back().at("message").get<std::string>().size(), 2000u);
  control().barrier();
}

TEST(BadSamples, TooManyEndTheRunOnEveryRankAlike) {
  const std::filesystem::path folder = testing::shared_folder("bad-ratio");
  const int64_t size = 100;
  BadSamples bad(folder, control(), size, 0.05);
  // Five of a hundred are allowed; all are met by the last rank.
  const bool last = world().rank == world().size - 1;
  std::vector<ReplacedRow> rows;
  if (last)
    for (int64_t id = 0; id < 5; ++id) rows.push_back({id, 50, "damaged", "x"});
  EXPECT_NO_THROW(bad.note(rows, 1));
  EXPECT_NO_THROW(bad.note(rows, 2));
  std::string text;
  try {
    bad.note(last ? std::vector<ReplacedRow>{{5, 50, "damaged", "x"}} : std::vector<ReplacedRow>{},
             3);
  } catch (const DataError& error) {
    text = error.what();
  }
  EXPECT_EQ(text,
            "6 of the 100 training samples cannot be used (6 %), data.max_bad_ratio=0.05 "
            "allows 5 %. They are listed in " +
                (folder / "bad_samples.jsonl").string() +
                ": repair or remove them and that list, or raise data.max_bad_ratio (it may "
                "change when a run continues)");
  control().barrier();
  EXPECT_EQ(ids_in(folder).size(), 6u);
  control().barrier();
  // A larger share lets the same run continue.
  BadSamples more(folder, control(), size, 0.06);
  EXPECT_NO_THROW(more.note(rows, 3));
  control().barrier();
}

TEST(BadSamples, AListThatIsDamagedIsNotOverwritten) {
  // Each rank for itself: it is rank 0 of a world of one.
  const auto alone = testing::alone();
  const std::filesystem::path folder =
      testing::shared_folder("bad-list") + "/" + std::to_string(world().rank);
  std::filesystem::create_directories(folder);
  for (const std::string line : {"garbage\n", "{\"step\":1}\n", "{\"step\":1,\"id\":\"x\"}\n"}) {
    std::ofstream(folder / "bad_samples.jsonl") << line;
    EXPECT_THROW(BadSamples(folder, *alone->control, 10, 1), RecordError) << line;
    std::ifstream file(folder / "bad_samples.jsonl");
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), line);
  }
}

/// A set of which nothing is ever asked.
class NamedDataset : public Dataset {
 public:
  int64_t size() const override { return 4; }
  Image image(int64_t) const override { return {}; }
  int64_t label(int64_t) const override { return -1; }
  int64_t classes() const override { return 0; }
  std::string describe() const override { return "the set"; }
};

TEST(TotalLeftOut, IsTheSumAndAnErrorOnlyWhenNothingIsLeft) {
  const auto share = [](int64_t good, int64_t left_out) {
    return Features{.ids = at::full({good}, 1, at::kLong), .left_out = left_out};
  };
  const int ranks = world().size;
  EXPECT_EQ(total_left_out(share(0, 0), NamedDataset(), control()), 0);
  // One good sample on the last rank is enough for all.
  const bool last = world().rank == ranks - 1;
  EXPECT_EQ(total_left_out(share(last, 2), NamedDataset(), control()), 2 * ranks);
  EXPECT_THROW(total_left_out(share(0, last), NamedDataset(), control()), DataError);
}

}  // namespace
}  // namespace cltrain
