// What batches hold: order, shares, views; and how the loader ends.
#include "data/loader.h"

#include "data/augment.h"
#include "data/plain_images.h"
#include "test_files.h"

#include <atomic>
#include <chrono>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::PatternDataset;

AugmentOptions small_views() {
  AugmentOptions options;
  options.size = 10;
  options.blur_kernel = 3;
  return options;
}

LoaderOptions batches_of(int64_t rows) {
  LoaderOptions options;
  options.seed = 9;
  options.global_batch = rows;
  return options;
}

/// Batches of `steps` steps from step `first`.
std::vector<Batch> take(const LoaderOptions& options, int64_t steps, int64_t first = 0,
                        int64_t size = 23) {
  const PatternDataset dataset(size);
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

void expect_same(const Batch& left, const Batch& right) {
  EXPECT_EQ(left.step, right.step);
  EXPECT_EQ(left.epoch, right.epoch);
  EXPECT_EQ(left.global_rows, right.global_rows);
  EXPECT_TRUE(at::equal(left.ids, right.ids));
  EXPECT_TRUE(at::equal(left.positions, right.positions));
  EXPECT_TRUE(at::equal(left.labels, right.labels));
  ASSERT_EQ(left.tensors.size(), right.tensors.size());
  for (const auto& [name, views] : left.tensors)
    EXPECT_TRUE(at::equal(views, right.tensors.at(name))) << name << " of step " << left.step;
}

TEST(Loader, GivesTheEpochOrderAndTheViewsOfItsSamples) {
  const auto batches = take(batches_of(5), 10);
  const PatternDataset dataset(23);
  const AugmentOptions augment = small_views();
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    const auto order = epoch_order(9, epoch, 23);
    const PhiloxKey key = random_key(9, Purpose::kAugmentation, static_cast<uint64_t>(epoch));
    std::vector<int64_t> seen;
    for (int64_t within = 0; within < 5; ++within) {
      const Batch& batch = batches[static_cast<size_t>(epoch * 5 + within)];
      EXPECT_EQ(batch.step, epoch * 5 + within);
      EXPECT_EQ(batch.epoch, epoch);
      EXPECT_EQ(batch.cut.rank_rows(), (std::vector<int64_t>{batch.global_rows}));
      EXPECT_EQ(batch.global_rows, within < 4 ? 5 : 3);
      const auto positions = numbers(batch.positions), ids = numbers(batch.ids);
      const auto labels = numbers(batch.labels);
      ASSERT_EQ(static_cast<int64_t>(positions.size()), batch.global_rows);
      for (size_t row = 0; row < positions.size(); ++row) {
        seen.push_back(positions[row]);
        EXPECT_EQ(ids[row], 1000 + positions[row]);
        EXPECT_EQ(labels[row], positions[row] % 3);
        for (uint32_t view = 0; view < 2; ++view) {
          std::vector<float> expected(300);
          const Image image = dataset.image(positions[row]);
          apply_view(image, draw_view(augment, 12, 12, key, static_cast<uint64_t>(ids[row]), view),
                     augment, expected.data());
          const at::Tensor& found = batch.tensors.at("view" + std::to_string(view));
          ASSERT_EQ(found.sizes(), (at::IntArrayRef{batch.global_rows, 3, 10, 10}));
          const float* start = found.const_data_ptr<float>() + row * 300;
          EXPECT_EQ(std::vector<float>(start, start + 300), expected);
        }
      }
    }
    EXPECT_EQ(seen, order);
  }
}

TEST(Loader, ViewsAreTheSameAtAnyNumberOfThreadsAndAnyPrefetch) {
  const auto expected = take(batches_of(8), 7);
  for (const int64_t workers : {1, 2, 4})
    for (const int64_t prefetch : {1, 3}) {
      LoaderOptions options = batches_of(8);
      options.workers = workers;
      options.prefetch = prefetch;
      const auto found = take(options, 7);
      for (size_t step = 0; step < 7; ++step) expect_same(found[step], expected[step]);
    }
}

/// The batches of every rank, [rank][step].
std::vector<std::vector<Batch>> take_of_ranks(int world_size, int64_t micro_batch, int64_t steps) {
  std::vector<std::vector<Batch>> ranks;
  for (int rank = 0; rank < world_size; ++rank) {
    LoaderOptions options = batches_of(8);
    options.micro_batch = micro_batch;
    options.rank = rank;
    options.world_size = world_size;
    options.workers = 2;
    ranks.push_back(take(options, steps));
  }
  return ranks;
}

TEST(Loader, RanksTogetherHoldTheGlobalBatch) {
  const auto expected = take(batches_of(8), 6);
  for (const int world_size : {1, 2, 3})
    for (const int64_t micro_batch : {0, 1, 3, 5, 8}) {
      const auto ranks = take_of_ranks(world_size, micro_batch, 6);
      for (size_t step = 0; step < 6; ++step) {
        const Batch& whole = expected[step];
        const BatchCut cut = cut_batch(whole.global_rows, micro_batch, world_size);
        std::map<std::string, std::vector<at::Tensor>> parts;
        std::vector<int64_t> rows;
        for (const auto& batches : ranks) {
          const Batch& batch = batches[step];
          EXPECT_EQ(batch.global_rows, whole.global_rows);
          EXPECT_EQ(batch.cut.rank_rows(), cut.rank_rows());
          EXPECT_EQ(batch.cut.gathered_places(), cut.gathered_places());
          rows.push_back(batch.ids.size(0));
          parts["ids"].push_back(batch.ids);
          parts["positions"].push_back(batch.positions);
          parts["labels"].push_back(batch.labels);
          for (const auto& [name, views] : batch.tensors) parts[name].push_back(views);
        }
        EXPECT_EQ(rows, cut.rank_rows());
        const at::Tensor places = at::tensor(cut.gathered_places(), at::kLong);
        const auto in_order = [&](const std::string& name) {
          return at::cat(parts.at(name)).index_select(0, places);
        };
        EXPECT_TRUE(at::equal(in_order("ids"), whole.ids));
        EXPECT_TRUE(at::equal(in_order("positions"), whole.positions));
        EXPECT_TRUE(at::equal(in_order("labels"), whole.labels));
        for (const auto& [name, views] : whole.tensors)
          EXPECT_TRUE(at::equal(in_order(name), views)) << name;
      }
    }
}

/// Chunk k of every rank, one after the other, are rows 3k, 3k + 1, 3k + 2 of the batch.
TEST(Loader, ChunksAreTheBatchInOrderWhateverTheRanks) {
  const auto expected = take(batches_of(8), 3);
  for (const int world_size : {1, 2, 4}) {
    const auto ranks = take_of_ranks(world_size, 3, 3);
    for (size_t step = 0; step < 3; ++step) {
      const Batch& whole = expected[step];
      const int64_t chunks = ranks[0][step].cut.chunks();
      ASSERT_EQ(chunks, 3);  // 3, 3, 2 rows, and 3, 3, 1 of the short last batch
      for (int64_t k = 0; k < chunks; ++k) {
        const int64_t first = 3 * k, count = std::min<int64_t>(3, whole.global_rows - first);
        std::vector<at::Tensor> ids, labels, positions, view1;
        for (int rank = 0; rank < world_size; ++rank) {
          const Batch& batch = ranks[static_cast<size_t>(rank)][step];
          const Batch chunk = chunk_of(batch, k, rank);
          ids.push_back(chunk.ids);
          labels.push_back(chunk.labels);
          positions.push_back(chunk.positions);
          view1.push_back(chunk.tensors.at("view1"));
          EXPECT_TRUE(view1.back().is_alias_of(batch.tensors.at("view1")));
          EXPECT_EQ(chunk.cut.rank_rows(), batch.cut.chunk_rows(k));
          EXPECT_EQ(chunk.step, batch.step);
          EXPECT_EQ(chunk.epoch, batch.epoch);
          EXPECT_EQ(chunk.global_rows, whole.global_rows);
        }
        EXPECT_TRUE(at::equal(at::cat(ids), whole.ids.narrow(0, first, count)));
        EXPECT_TRUE(at::equal(at::cat(labels), whole.labels.narrow(0, first, count)));
        EXPECT_TRUE(at::equal(at::cat(positions), whole.positions.narrow(0, first, count)));
        EXPECT_TRUE(at::equal(at::cat(view1), whole.tensors.at("view1").narrow(0, first, count)));
      }
    }
  }
  const Batch& batch = expected[0];
  EXPECT_THROW(chunk_of(batch, 1, 0), std::out_of_range);
}

TEST(Loader, ContinuesExactlyAtAnyStep) {
  const auto expected = take(batches_of(5), 14);
  for (const int64_t first : {0, 1, 4, 5, 9, 12}) {
    const auto found = take(batches_of(5), 2, first);
    for (size_t step = 0; step < 2; ++step)
      expect_same(found[step], expected[static_cast<size_t>(first) + step]);
  }
}

TEST(Loader, SeeksBackAndForthWhileWorkersAreBusy) {
  const PatternDataset dataset(23);
  LoaderOptions options = batches_of(5);
  options.workers = 3;
  Loader loader(dataset, options, small_views());
  const auto expected = take(batches_of(5), 14);
  for (const int64_t step : {7, 2, 13, 0, 12, 4, 4, 9}) {
    loader.seek(step);
    EXPECT_EQ(loader.position(), step);
    expect_same(loader.next(), expected[static_cast<size_t>(step)]);
    EXPECT_EQ(loader.position(), step + 1);
  }
  EXPECT_THROW(loader.seek(-1), std::invalid_argument);
}

TEST(Loader, DropsTheShortBatchOnlyWhenAsked) {
  LoaderOptions options = batches_of(5);
  options.drop_last = true;
  const PatternDataset dataset(23);
  Loader loader(dataset, options, small_views());
  EXPECT_EQ(loader.steps_per_epoch(), 4);
  std::set<int64_t> epochs;
  for (int step = 0; step < 8; ++step) {
    const Batch batch = loader.next();
    EXPECT_EQ(batch.global_rows, 5);
    EXPECT_EQ(batch.epoch, step / 4);
  }
  Loader whole(dataset, batches_of(5), small_views());
  EXPECT_EQ(whole.steps_per_epoch(), 5);
}

TEST(Loader, ARankWithoutRowsGetsEmptyTensors) {
  LoaderOptions options =
      batches_of(7);  // the last batch of 23 has 2 rows: of 4 ranks, 0 gets none
  options.world_size = 4;
  const auto batches = take(options, 5);
  const Batch& last = batches[3];
  EXPECT_EQ(last.global_rows, 2);
  EXPECT_EQ(last.tensors.at("view0").sizes(), (at::IntArrayRef{0, 3, 10, 10}));
  EXPECT_EQ(last.ids.size(0), 0);
  EXPECT_EQ(last.labels.size(0), 0);
  EXPECT_EQ(batches[4].epoch, 1);
  EXPECT_EQ(batches[4].ids.size(0), 1);
}

/// Refuses one image, counts the rest, and takes its time.
class FailingDataset : public PatternDataset {
 public:
  explicit FailingDataset(int64_t bad) : PatternDataset(23), bad_(bad) {}
  Image image(int64_t position) const override {
    ++asked;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (position == bad_) throw DataError("bad.jpg: damaged");
    return PatternDataset::image(position);
  }
  mutable std::atomic<int> asked = 0;

 private:
  int64_t bad_;
};

TEST(Loader, AnErrorOfTheDataSetComesOutOfTheBatchItBelongsTo) {
  const int64_t bad = epoch_order(9, 0, 23)[11];  // in the third batch of 5
  const FailingDataset dataset(bad);
  for (const int64_t workers : {1, 3}) {
    LoaderOptions options = batches_of(5);
    options.workers = workers;
    Loader loader(dataset, options, small_views());
    loader.next();
    loader.next();
    EXPECT_EQ(testing::data_error([&] { loader.next(); }), "bad.jpg: damaged");
    EXPECT_EQ(testing::data_error([&] { loader.next(); }), "bad.jpg: damaged");
    EXPECT_EQ(loader.position(), 2);
    loader.seek(3);
    EXPECT_EQ(loader.next().step, 3);
  }
}

TEST(Loader, KeepsNoMoreThanPrefetchBatchesAhead) {
  const FailingDataset dataset(-1);
  LoaderOptions options = batches_of(4);
  options.prefetch = 2;
  options.workers = 2;
  Loader loader(dataset, options, small_views());
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  EXPECT_EQ(dataset.asked, 8);
  loader.next();
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  EXPECT_EQ(dataset.asked, 12);
}

TEST(Loader, EndsAtOnceWhateverItIsDoing) {
  const FailingDataset dataset(-1);
  const auto start = std::chrono::steady_clock::now();
  for (int round = 0; round < 20; ++round) {
    LoaderOptions options = batches_of(20);
    options.workers = 1 + round % 4;
    options.prefetch = 50;
    Loader loader(dataset, options, small_views());
    if (round % 2) loader.seek(round);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_LT(seconds.count(), 5);  // finishing the queues would take 20 x 50 x 20 x 2 ms
}

/// Two workers must be at work at the same time on one batch.
class MeetingDataset : public PatternDataset {
 public:
  MeetingDataset() : PatternDataset(2) {}
  Image image(int64_t position) const override {
    ++inside_;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (inside_ < 2 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    if (inside_ < 2) throw DataError("nobody else came");
    return PatternDataset::image(position);
  }

 private:
  mutable std::atomic<int> inside_ = 0;
};

TEST(Loader, WorkersShareOneBatch) {
  const MeetingDataset dataset;
  LoaderOptions options = batches_of(2);
  options.workers = 2;
  options.prefetch = 1;
  Loader loader(dataset, options, small_views());
  EXPECT_NO_THROW(loader.next());
}

TEST(Loader, RefusesWhatCannotWork) {
  const PatternDataset dataset(4);
  LoaderOptions options = batches_of(5);
  options.drop_last = true;
  const std::string text = testing::data_error([&] { Loader(dataset, options, small_views()); });
  EXPECT_MENTIONS(text, "data.drop_last=true");
  EXPECT_MENTIONS(text, "train.global_batch=5");
  EXPECT_THROW(Loader(PatternDataset(0), batches_of(5), small_views()), DataError);
  options = batches_of(0);
  EXPECT_THROW(Loader(dataset, options, small_views()), std::invalid_argument);
  options = batches_of(2);
  options.micro_batch = -1;
  EXPECT_THROW(Loader(dataset, options, small_views()), std::invalid_argument);
  options = batches_of(2);
  options.workers = 0;
  EXPECT_THROW(Loader(dataset, options, small_views()), std::invalid_argument);
  options.workers = 1;
  options.rank = 1;
  EXPECT_THROW(Loader(dataset, options, small_views()), std::invalid_argument);
  AugmentOptions augment = small_views();
  augment.std = {1, 1};
  EXPECT_THROW(Loader(dataset, batches_of(2), augment), std::invalid_argument);
}

TEST(PlainImages, AreTheSameAtAnyNumberOfThreads) {
  const PatternDataset dataset(23);
  const AugmentOptions options = small_views();
  const at::Tensor one = plain_images(dataset, {3, 20}, options, 1).pictures;
  ASSERT_EQ(one.sizes(), (at::IntArrayRef{17, 3, 10, 10}));
  EXPECT_TRUE(at::equal(one, plain_images(dataset, {3, 20}, options, 4).pictures));
  EXPECT_TRUE(at::equal(one.slice(0, 5, 9), plain_images(dataset, {8, 12}, options, 2).pictures));
  EXPECT_EQ(plain_images(dataset, {4, 4}, options, 3).pictures.size(0), 0);
  EXPECT_THROW(plain_images(dataset, {20, 24}, options, 1), std::invalid_argument);
  const FailingDataset failing(5);
  EXPECT_THROW(plain_images(failing, {0, 23}, options, 3), DataError);
}

}  // namespace
}  // namespace cltrain
