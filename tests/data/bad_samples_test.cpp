// Samples that cannot be used: what the loader puts in their place, and what evaluation leaves out.
#include "data/augment.h"
#include "data/bad_sample.h"
#include "data/image_folder.h"
#include "data/loader.h"
#include "data/plain_images.h"
#include "ops/keyed_random.h"
#include "test_files.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::PatternDataset;

/// Patterns of which some cannot be used; counts how often those are asked for.
class HolesDataset : public PatternDataset {
 public:
  HolesDataset(int64_t size, std::set<int64_t> bad) : PatternDataset(size), bad_(std::move(bad)) {}
  Image image(int64_t position) const override {
    if (bad_.count(position)) {
      ++refused;
      throw BadSample(position % 2 ? "damaged" : "unreadable", "bad " + std::to_string(position));
    }
    return PatternDataset::image(position);
  }
  bool bad(int64_t position) const { return bad_.count(position) > 0; }
  mutable std::atomic<int> refused = 0;

 private:
  std::set<int64_t> bad_;
};

AugmentOptions small_views() {
  AugmentOptions options;
  options.size = 10;
  options.blur_kernel = 3;
  return options;
}

LoaderOptions batches_of(int64_t rows, int rank = 0, int world_size = 1, int64_t workers = 1) {
  LoaderOptions options;
  options.seed = 9;
  options.global_batch = rows;
  options.rank = rank;
  options.world_size = world_size;
  options.workers = workers;
  return options;
}

const std::set<int64_t> kHoles = {0, 3, 4, 8, 9, 12, 13, 17, 20, 22};  // of 23: chains are frequent

std::vector<Batch> take(const LoaderOptions& options, int64_t steps, int64_t first = 0) {
  const HolesDataset dataset(23, kHoles);
  Loader loader(dataset, options, small_views());
  if (first > 0) loader.seek(first);
  std::vector<Batch> batches;
  for (int64_t step = 0; step < steps; ++step) batches.push_back(loader.next());
  return batches;
}

std::vector<int64_t> numbers(const at::Tensor& tensor) {
  const auto* data = tensor.const_data_ptr<int64_t>();
  return {data, data + tensor.numel()};
}

std::string text(const std::vector<ReplacedRow>& rows) {
  std::string all;
  for (const ReplacedRow& row : rows)
    all += std::to_string(row.bad_id) + ">" + std::to_string(row.replacement_id) + " " + row.kind +
           " (" + row.message + ")\n";
  return all;
}

TEST(ReplacementPosition, IsTheKeyedDrawOfItsPlace) {
  std::set<int64_t> seen;
  for (const int64_t epoch : {0, 7})
    for (const int64_t id : {0, 1000})
      for (int64_t attempt = 0; attempt < kReplacementAttempts; ++attempt) {
        const int64_t position = replacement_position(11, epoch, id, attempt, 50);
        // Purpose number 5 is part of the format of experiments.
        KeyedStream draws(random_key(11, static_cast<Purpose>(5), static_cast<uint64_t>(epoch)),
                          static_cast<uint64_t>(id), 0, static_cast<uint32_t>(attempt));
        EXPECT_EQ(position, static_cast<int64_t>(draws.below(50)));
        seen.insert(position);
      }
  EXPECT_GE(seen.size(), 45u);  // of 50, in 256 draws
  EXPECT_EQ(replacement_position(11, 0, 5, 3, 1), 0);
}

TEST(BadSamples, AreReplacedByTheirDrawsAndListedInTheOrderOfTheRows) {
  const HolesDataset dataset(23, kHoles);
  const AugmentOptions augment = small_views();
  const auto batches = take(batches_of(5), 10);
  int64_t chains = 0;
  for (const Batch& batch : batches) {
    const auto order = epoch_order(9, batch.epoch, 23);
    const PhiloxKey key = random_key(9, Purpose::kAugmentation, static_cast<uint64_t>(batch.epoch));
    const auto positions = numbers(batch.positions), ids = numbers(batch.ids);
    const auto labels = numbers(batch.labels);
    size_t listed = 0;
    for (size_t row = 0; row < positions.size(); ++row) {
      const int64_t asked = order[static_cast<size_t>(batch.step % 5 * 5) + row];
      int64_t expected = asked, attempt = 0;
      while (dataset.bad(expected))
        expected = replacement_position(9, batch.epoch, 1000 + asked, attempt++, 23);
      chains += attempt > 1;
      EXPECT_EQ(positions[row], expected);
      EXPECT_EQ(ids[row], 1000 + expected);
      EXPECT_EQ(labels[row], expected % 3);
      if (expected != asked) {
        ASSERT_LT(listed, batch.replaced.size());
        const ReplacedRow& report = batch.replaced[listed++];
        EXPECT_EQ(report.bad_id, 1000 + asked);
        EXPECT_EQ(report.replacement_id, 1000 + expected);
        EXPECT_EQ(report.kind, asked % 2 ? "damaged" : "unreadable");
        EXPECT_EQ(report.message, "bad " + std::to_string(asked));
      }
      for (uint32_t view = 0; view < 2; ++view) {
        std::vector<float> pixels(300);
        apply_view(dataset.image(expected),
                   draw_view(augment, 12, 12, key, static_cast<uint64_t>(1000 + expected), view),
                   augment, pixels.data());
        const float* start =
            batch.tensors.at("view" + std::to_string(view)).const_data_ptr<float>() + row * 300;
        EXPECT_EQ(std::vector<float>(start, start + 300), pixels);
      }
    }
    EXPECT_EQ(listed, batch.replaced.size());
  }
  EXPECT_GT(chains, 0);  // some replacement was bad itself
}

TEST(BadSamples, HaveTheSameReplacementsAtAnyNumberOfRanksAndThreads) {
  const auto expected = take(batches_of(8), 6);
  for (const int world_size : {1, 2, 3, 4})
    for (const int64_t workers : {1, 2, 3, 4}) {
      std::vector<std::vector<Batch>> ranks;
      for (int rank = 0; rank < world_size; ++rank)
        ranks.push_back(take(batches_of(8, rank, world_size, workers), 6));
      for (size_t step = 0; step < 6; ++step) {
        std::vector<at::Tensor> ids, labels, positions, view0, view1;
        std::string replaced;
        for (const auto& batches : ranks) {
          ids.push_back(batches[step].ids);
          labels.push_back(batches[step].labels);
          positions.push_back(batches[step].positions);
          view0.push_back(batches[step].tensors.at("view0"));
          view1.push_back(batches[step].tensors.at("view1"));
          replaced += text(batches[step].replaced);
        }
        EXPECT_TRUE(at::equal(at::cat(ids), expected[step].ids));
        EXPECT_TRUE(at::equal(at::cat(labels), expected[step].labels));
        EXPECT_TRUE(at::equal(at::cat(positions), expected[step].positions));
        EXPECT_TRUE(at::equal(at::cat(view0), expected[step].tensors.at("view0")));
        EXPECT_TRUE(at::equal(at::cat(view1), expected[step].tensors.at("view1")));
        EXPECT_EQ(replaced, text(expected[step].replaced));
      }
    }
}

TEST(BadSamples, AreReplacedAlikeWhenTheRunContinues) {
  const auto expected = take(batches_of(5), 14);
  for (const int64_t first : {1, 4, 5, 9, 12}) {
    const auto found = take(batches_of(5, 0, 1, 3), 2, first);
    for (size_t step = 0; step < 2; ++step) {
      const Batch& whole = expected[static_cast<size_t>(first) + step];
      EXPECT_EQ(text(found[step].replaced), text(whole.replaced));
      EXPECT_TRUE(at::equal(found[step].ids, whole.ids));
      for (const auto& [name, views] : whole.tensors)
        EXPECT_TRUE(at::equal(found[step].tensors.at(name), views));
    }
  }
}

TEST(BadSamples, CostOneMoreDecodingAnEpoch) {
  const HolesDataset dataset(1000, {17});
  LoaderOptions options = batches_of(1000);
  options.prefetch = 1;
  Loader loader(dataset, options, small_views());
  EXPECT_EQ(loader.next().replaced.size(), 1u);
  EXPECT_EQ(loader.next().replaced.size(), 1u);
  EXPECT_GE(dataset.refused, 2);  // once for each epoch begun; a third one is being made
  EXPECT_LE(dataset.refused, 3);
}

TEST(BadSamples, EndTheRunWhenThereIsNothingElse) {
  std::set<int64_t> all;
  for (int64_t position = 0; position < 23; ++position) all.insert(position);
  const HolesDataset dataset(23, all);
  for (const int64_t workers : {1, 3}) {
    Loader loader(dataset, batches_of(5, 0, 1, workers), small_views());
    const std::string message = testing::data_error([&] { loader.next(); });
    EXPECT_MENTIONS(message, "bad " + std::to_string(epoch_order(9, 0, 23)[0]) + ";");
    EXPECT_MENTIONS(message, "64 samples drawn in its place");
    EXPECT_MENTIONS(message, "patterns");
    EXPECT_EQ(testing::data_error([&] { loader.next(); }), message);
  }
}

TEST(BadSamples, OfAnImageFolderAreReplacedAndLeftOut) {
  const testing::TemporaryFolder folder;
  const testing::Bytes jpeg =
      testing::read(std::filesystem::path(CLTRAIN_TEST_FILES) / "golden/images/colour.jpg");
  for (const std::string name : {"a.jpg", "b.jpg", "c.jpg", "d.jpg"})
    testing::write(folder / name, jpeg);
  testing::write(folder / "b.jpg", {});
  testing::write(folder / "e.jpg", {jpeg.begin(), jpeg.begin() + 600});
  const auto pair = open_image_folders(folder.path().string(), "", "");
  std::filesystem::remove(folder / "d.jpg");
  Loader loader(*pair.train, batches_of(5), small_views());
  const Batch batch = loader.next();
  ASSERT_EQ(batch.replaced.size(), 3u);
  const std::map<int64_t, std::pair<std::string, std::string>> expected = {
      {1, {"damaged", "b.jpg: an empty file"}},
      {3, {"unreadable", "d.jpg: no such file"}},
      {4, {"damaged", "e.jpg: "}}};
  for (const ReplacedRow& row : batch.replaced) {
    EXPECT_EQ(row.kind, expected.at(row.bad_id).first);
    EXPECT_MENTIONS(row.message, expected.at(row.bad_id).second);
  }
  for (const int64_t id : numbers(batch.ids)) EXPECT_TRUE(id == 0 || id == 2) << id;
  const PlainImages plain = plain_images(*pair.train, {0, 5}, small_views(), 1);
  EXPECT_EQ(plain.positions, (std::vector<int64_t>{0, 2}));
}

/// Waits until `reached` or for 20 seconds.
bool soon(const std::function<bool()>& reached) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!reached() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return reached();
}

/// Makes nothing until it is allowed to.
class GateDataset : public PatternDataset {
 public:
  GateDataset() : PatternDataset(23) {}
  Image image(int64_t position) const override {
    while (!open) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return PatternDataset::image(position);
  }
  std::atomic<bool> open = false;
};

TEST(Loader, SaysHowManyBatchesAreReady) {
  GateDataset dataset;
  LoaderOptions options = batches_of(5);
  options.prefetch = 3;
  options.workers = 2;
  Loader loader(dataset, options, small_views());
  EXPECT_EQ(loader.ready(), 0);
  dataset.open = true;
  EXPECT_TRUE(soon([&] { return loader.ready() == 3; }));
  std::atomic<bool> over = false;
  std::atomic<bool> sane = true;
  std::thread watcher([&] {
    while (!over) sane = sane && loader.ready() >= 0 && loader.ready() <= 3;
  });
  for (int step = 0; step < 20; ++step) loader.next();
  over = true;
  watcher.join();
  EXPECT_TRUE(sane);
  EXPECT_TRUE(soon([&] { return loader.ready() == 3; }));
}

TEST(PlainImages, LeaveBadSamplesOut) {
  const HolesDataset holes(23, kHoles);
  const PatternDataset whole(23);
  for (const int64_t workers : {1, 4}) {
    const PlainImages found = plain_images(holes, {2, 21}, small_views(), workers);
    EXPECT_EQ(found.positions, (std::vector<int64_t>{2, 5, 6, 7, 10, 11, 14, 15, 16, 18, 19}));
    EXPECT_EQ(found.left_out, (std::vector<std::string>{"bad 3", "bad 4", "bad 8", "bad 9",
                                                        "bad 12", "bad 13", "bad 17", "bad 20"}));
    ASSERT_EQ(found.pictures.sizes(), (at::IntArrayRef{11, 3, 10, 10}));
    for (size_t row = 0; row < found.positions.size(); ++row) {
      const int64_t at = found.positions[row];
      const at::Tensor alone = plain_images(whole, {at, at + 1}, small_views(), 1).pictures;
      EXPECT_TRUE(at::equal(found.pictures[static_cast<int64_t>(row)], alone[0])) << at;
    }
  }
  const PlainImages none = plain_images(holes, {3, 5}, small_views(), 2);
  EXPECT_EQ(none.pictures.sizes(), (at::IntArrayRef{0, 3, 10, 10}));
  EXPECT_EQ(none.left_out.size(), 2u);
}

}  // namespace
}  // namespace cltrain
