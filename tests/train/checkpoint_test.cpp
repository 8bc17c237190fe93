// The checkpoint store: what is written, what is kept, and what happens to damaged files.
#include "train/checkpoint.h"

#include "data/sha256.h"
#include "tests/train/folder.h"
#include "train/digest.h"
#include "train/files.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::mentions;

std::vector<NamedTensor> state(double value) {
  return {{"model.w", at::full({3, 4}, value, at::kFloat)},
          {"model.count", at::full({}, static_cast<int64_t>(value), at::kLong)},
          {"optim.v", at::full({5}, -value, at::kDouble)}};
}

Snapshot snapshot_at(int64_t step) {
  return {{{"step", step}, {"samples", 10 * step}},
          state(static_cast<double>(step)),
          {{"threads", "1"}, {"torch", "2.11.0"}}};
}

class CheckpointStoreTest : public ::testing::Test {
 protected:
  CheckpointStore store(int64_t keep = 3) {
    return {folder(), keep, [this](const std::string& text) { warnings_ += text + "\n"; }};
  }
  fs::path folder() const { return root_ / "checkpoints"; }
  fs::path state_file(const std::string& name) const {
    return folder() / name / "state.safetensors";
  }
  fs::path manifest(const std::string& name) const { return folder() / name / "manifest.json"; }

  std::set<std::string> names() const {
    std::set<std::string> all;
    for (const auto& entry : fs::directory_iterator(folder()))
      all.insert(entry.path().filename().string());
    return all;
  }
  static void flip_a_bit(const fs::path& path, size_t place) {
    std::string text = testing::read_text(path);
    text.at(place) = static_cast<char>(text.at(place) ^ 4);
    testing::write_text(path, text);
  }

  testing::TemporaryFolder root_;
  std::string warnings_;
};

const std::string kStep1 = "step-000000001", kStep2 = "step-000000002", kStep3 = "step-000000003";

TEST_F(CheckpointStoreTest, ComesBackAsItWasSaved) {
  EXPECT_FALSE(store().newest().has_value());
  const Snapshot saved = snapshot_at(7);
  const auto [path, bytes] = store().save(saved);
  EXPECT_EQ(path, folder() / "step-000000007");
  EXPECT_EQ(bytes, static_cast<int64_t>(fs::file_size(path / "state.safetensors")));
  const auto found = store().newest();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->folder, path);
  EXPECT_EQ(found->counters, saved.counters);
  EXPECT_EQ(found->environment, saved.environment);
  EXPECT_EQ(found->state_sha256, sha256_of_state(saved.tensors, saved.counters));
  const std::vector<NamedTensor> live = state(0);
  store().load(*found, live);
  for (size_t i = 0; i < live.size(); ++i)
    EXPECT_TRUE(at::equal(live[i].second, saved.tensors[i].second)) << live[i].first;
  EXPECT_EQ(warnings_, "");
}

TEST_F(CheckpointStoreTest, LoadsIntoParametersInPlace) {
  store().save(snapshot_at(7));
  at::Tensor parameter = at::zeros({3, 4}).requires_grad_();
  std::vector<NamedTensor> live = state(0);
  live[0].second = parameter;
  const void* before = parameter.data_ptr();
  store().load(*store().newest(), live);
  EXPECT_EQ(parameter.data_ptr(), before);
  EXPECT_TRUE(parameter.requires_grad());
  EXPECT_EQ(parameter.sum().item<float>(), 84.0f);
}

TEST_F(CheckpointStoreTest, TheManifestHoldsTheFilesChecksums) {
  store().save(snapshot_at(1));
  const auto text = nlohmann::json::parse(testing::read_text(manifest(kStep1)));
  EXPECT_EQ(text.at("format"), "cltrain-checkpoint-1");
  const auto& facts = text.at("files").at("state.safetensors");
  EXPECT_EQ(facts.at("sha256"), sha256_of_file(state_file(kStep1)));
  EXPECT_EQ(facts.at("bytes"), fs::file_size(state_file(kStep1)));
}

TEST_F(CheckpointStoreTest, KeepsTheNewestAndMovesLatest) {
  for (int64_t step = 1; step <= 5; ++step) store(2).save(snapshot_at(step));
  EXPECT_EQ(names(), (std::set<std::string>{"latest", "step-000000004", "step-000000005"}));
  EXPECT_EQ(fs::read_symlink(folder() / "latest"), "step-000000005");
  EXPECT_EQ(store().newest()->counters.at("step"), 5);
  store(1).save(snapshot_at(6));
  EXPECT_EQ(names(), (std::set<std::string>{"latest", "step-000000006"}));
}

TEST_F(CheckpointStoreTest, SavingAStepAgainReplacesIt) {
  store().save(snapshot_at(1));
  Snapshot other = snapshot_at(1);
  other.tensors = state(50);
  store().save(other);
  const std::vector<NamedTensor> live = state(0);
  store().load(*store().newest(), live);
  EXPECT_TRUE(at::equal(live[0].second, state(50)[0].second));
  EXPECT_EQ(names(), (std::set<std::string>{"latest", kStep1}));
}

TEST_F(CheckpointStoreTest, DamagedFilesFallBackToTheOlderOneByName) {
  for (int64_t step = 1; step <= 3; ++step) store().save(snapshot_at(step));
  flip_a_bit(state_file(kStep3), fs::file_size(state_file(kStep3)) - 3);
  fs::resize_file(state_file(kStep2), fs::file_size(state_file(kStep2)) - 1);
  const auto found = store().newest();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->counters.at("step"), 1);
  EXPECT_TRUE(mentions(warnings_, state_file(kStep3).string() + " is damaged")) << warnings_;
  EXPECT_TRUE(mentions(warnings_, state_file(kStep2).string() + " has ")) << warnings_;
  EXPECT_TRUE(mentions(warnings_, "taking the older checkpoint")) << warnings_;
  // The damaged ones are out of the way, not gone.
  EXPECT_EQ(names(),
            (std::set<std::string>{"latest", kStep1, "damaged-" + kStep2, "damaged-" + kStep3}));
  warnings_.clear();
  EXPECT_EQ(store().newest()->counters.at("step"), 1);
  EXPECT_EQ(warnings_, "");
}

TEST_F(CheckpointStoreTest, ASaveAfterAFallBackReplacesTheDamagedOne) {
  for (int64_t step = 1; step <= 2; ++step) store().save(snapshot_at(step));
  flip_a_bit(state_file(kStep2), 100);
  EXPECT_EQ(store().newest()->counters.at("step"), 1);
  store().save(snapshot_at(2));
  warnings_.clear();
  EXPECT_EQ(store().newest()->counters.at("step"), 2);
  EXPECT_EQ(warnings_, "");
}

// Any single damaged bit of the manifest is noticed: also in a counter, which no other sum covers.
TEST_F(CheckpointStoreTest, EveryBitOfTheManifestCounts) {
  store().save(snapshot_at(1));
  const std::string good = testing::read_text(manifest(kStep1));
  for (size_t place = 0; place < good.size(); ++place) {
    if (std::isspace(static_cast<unsigned char>(good[place]))) continue;  // layout, not content
    flip_a_bit(manifest(kStep1), place);
    EXPECT_THROW(store().newest(), CheckpointError) << "byte " << place << ", " << good[place];
    testing::write_text(manifest(kStep1), good);
  }
  EXPECT_TRUE(store().newest().has_value());
}

TEST_F(CheckpointStoreTest, AllDamagedIsAnErrorThatNamesThemAll) {
  for (int64_t step = 1; step <= 2; ++step) store().save(snapshot_at(step));
  fs::remove(state_file(kStep1));
  testing::write_text(manifest(kStep2), "{\"format\":");
  const std::string text = error_of<CheckpointError>([&] { store().newest(); });
  EXPECT_TRUE(mentions(text, state_file(kStep1).string() + " is missing")) << text;
  EXPECT_TRUE(mentions(text, manifest(kStep2).string() + " is damaged")) << text;
  EXPECT_TRUE(mentions(text, "run.dir")) << text;
}

TEST_F(CheckpointStoreTest, RefusesAnotherFormatAndAnEmptyFolder) {
  store().save(snapshot_at(1));
  auto text = nlohmann::json::parse(testing::read_text(manifest(kStep1)));
  text["format"] = "cltrain-checkpoint-99";
  testing::write_text(manifest(kStep1), text.dump());
  fs::create_directory(folder() / kStep2);
  const std::string error = error_of<CheckpointError>([&] { store().newest(); });
  EXPECT_TRUE(mentions(error, "cltrain-checkpoint-99")) << error;
  EXPECT_TRUE(mentions(error, manifest(kStep2).string())) << error;
}

TEST_F(CheckpointStoreTest, LeftoversOfAKilledSaveAreIgnoredAndRemoved) {
  store().save(snapshot_at(1));
  const fs::path leftover = folder() / ".step-000000002.tmp";
  fs::create_directory(leftover);
  testing::write_text(leftover / "state.safetensors", "half");
  testing::write_text(folder() / "notes.txt", "mine");
  EXPECT_EQ(store().newest()->counters.at("step"), 1);
  EXPECT_EQ(warnings_, "");
  store().save(snapshot_at(2));
  EXPECT_EQ(names(), (std::set<std::string>{"latest", "notes.txt", kStep1, kStep2}));
}

TEST_F(CheckpointStoreTest, StatesThatDifferAreListedAndNothingIsChanged) {
  store().save(snapshot_at(4));
  const std::vector<NamedTensor> live{{"model.w", at::zeros({4, 3})},
                                      {"model.count", at::zeros({}, at::kLong)},
                                      {"model.new", at::zeros({1})},
                                      {"optim.v", at::zeros({5}, at::kFloat)}};
  const std::string text =
      error_of<CheckpointError>([&] { store().load(*store().newest(), live); });
  EXPECT_TRUE(mentions(text, "model.w: the checkpoint has Float [3, 4], this run has Float [4, 3]"))
      << text;
  EXPECT_TRUE(mentions(text, "optim.v: the checkpoint has Double [5], this run has Float [5]"))
      << text;
  EXPECT_TRUE(mentions(text, "missing in the checkpoint: model.new")) << text;
  EXPECT_FALSE(mentions(text, "model.count")) << text;
  EXPECT_EQ(live[1].second.item<int64_t>(), 0);
  const std::string fewer =
      error_of<CheckpointError>([&] { store().load(*store().newest(), {live[1]}); });
  EXPECT_TRUE(mentions(fewer, "only in the checkpoint: model.w")) << fewer;
}

TEST_F(CheckpointStoreTest, AFolderThatCannotBeMadeIsAnIoError) {
  testing::write_text(root_ / "checkpoints", "a file");
  const std::string text = error_of<IoError>([&] { store().save(snapshot_at(1)); });
  EXPECT_TRUE(mentions(text, folder().string())) << text;
}

}  // namespace
}  // namespace cltrain
