// The trainer on several ranks: a value that is not finite on one rank is refused by all, leaves no
// trace, and is counted; a resumed trainer continues bit for bit.
#include "models/methods/simclr.h"
#include "models/nets/small_conv.h"
#include "support/pictures.h"
#include "support/ranks.h"
#include "train/accuracy_evaluation.h"
#include "train/digest.h"
#include "train/files.h"
#include "train/trainer.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::world;

/// SimCLR whose loss is NaN at one step on the last rank.
class Poisoned : public Simclr {
 public:
  Poisoned(int64_t bad_step, const NormSettings& norm)
      : Simclr(make_small_conv(0.25, norm, 3), {.layers = 2, .hidden = 0, .out = 16, .norm = norm},
               {}, 3),
        bad_step_(bad_step) {}
  LossShare contrast(const Phase& phase, const std::vector<at::Tensor>& encoded, const Batch& batch,
                     const StepContext& context) override {
    LossShare result = Simclr::contrast(phase, encoded, batch, context);
    const bool last = context.communicators.loss->rank() == context.communicators.loss->size() - 1;
    if (last && context.step == bad_step_)
      result.share = result.share * std::numeric_limits<double>::quiet_NaN();
    return result;
  }

 private:
  int64_t bad_step_;
};

/// Keeps what the trainer reports.
class Recorder : public MetricSink {
 public:
  explicit Recorder(std::vector<StepRecord>& records) : records_(records) {}
  void step(const StepRecord& record) override { records_.push_back(record); }
  void evaluation(const EvaluationRecord&) override {}

 private:
  std::vector<StepRecord>& records_;
};

struct SessionSettings {
  int64_t steps = 0;
  int64_t bad_step = -1;
  int64_t max_skipped = 0;
  int64_t micro_batch = 0;
  std::string norm = "sync";
};

/// A trainer over 20 small pictures in batches of 6, with all it stands on.
struct Session {
  Session(const std::string& folder, const SessionSettings& settings)
      : dir(folder),
        pictures(20, 16),
        method(std::make_shared<Poisoned>(
            settings.bad_step,
            NormSettings{.kind = settings.norm, .communicator = all_ranks().loss.get()})) {
    options.run.dtype = "float64";
    options.train.steps = settings.steps;
    options.train.global_batch = 6;
    options.train.micro_batch = settings.micro_batch;
    options.train.max_skipped_steps = settings.max_skipped;
    metrics.every = 1;
    options.checkpoint.every = 2;
    // A constant rate: runs of different length then share their first steps.
    options.optim.schedule = "constant";
    options.optim.warmup_epochs = 0;
    eval.enabled = false;
    views.size = 16;
    views.blur_kernel = 3;
    move_to(*method, c10::kCPU, at::kDouble);
    loader = std::make_unique<Loader>(pictures,
                                      LoaderOptions{.seed = 1,
                                                    .global_batch = 6,
                                                    .micro_batch = settings.micro_batch,
                                                    .rank = world().rank,
                                                    .world_size = world().size},
                                      views);
    bad_samples = std::make_unique<BadSamples>(dir, *all_ranks().control, 20, 0.01);
    evaluation = std::make_unique<AccuracyEvaluation>(
        AccuracyEvaluationParts{world(), all_ranks(), eval, data, views, at::kDouble, 1});
    store = std::make_unique<CheckpointStore>(dir / "checkpoints", 9, [](const std::string&) {});
    if (world().rank == 0) sinks.add(std::make_unique<Recorder>(records));
    trainer = std::make_unique<Trainer>(TrainerParts{world(),
                                                     all_ranks(),
                                                     options,
                                                     metrics,
                                                     *method,
                                                     *loader,
                                                     *bad_samples,
                                                     *evaluation,
                                                     *store,
                                                     20,
                                                     dir,
                                                     "simclr",
                                                     "test",
                                                     sinks,
                                                     {}});
  }
  std::string model_digest() const {
    std::vector<NamedTensor> tensors;
    for (const auto& item : method->named_parameters())
      tensors.emplace_back(item.key(), item.value());
    for (const auto& item : method->named_buffers()) tensors.emplace_back(item.key(), item.value());
    return sha256_of_state(tensors, {});
  }

  std::filesystem::path dir;
  testing::NoisePictures pictures;
  std::shared_ptr<Poisoned> method;
  TrainOptions options;
  EvalOptions eval;
  MetricsOptions metrics;
  AugmentOptions views;
  DatasetPair data;
  std::unique_ptr<Loader> loader;
  std::unique_ptr<BadSamples> bad_samples;
  std::unique_ptr<Evaluation> evaluation;
  std::unique_ptr<CheckpointStore> store;
  Sinks sinks;
  std::vector<StepRecord> records;  // on rank 0
  std::unique_ptr<Trainer> trainer;
};

TEST(Trainer, RefusesANanOfOneRankOnAllRanksAndLeavesNoTrace) {
  std::vector<std::string> reports;
  for (const int64_t micro_batch : {0, 4}) {
    const std::string name = std::to_string(micro_batch);
    Session before(testing::shared_folder("before" + name),
                   {.steps = 2, .micro_batch = micro_batch});
    before.trainer->resume();
    ASSERT_EQ(before.trainer->run(), 0);

    Session poisoned(testing::shared_folder("poisoned" + name),
                     {.steps = 5, .bad_step = 2, .micro_batch = micro_batch});
    poisoned.trainer->resume();
    EXPECT_THROW(poisoned.trainer->run(), NonFinite);
    EXPECT_EQ(poisoned.model_digest(), before.model_digest());
    all_ranks().control->barrier();
    if (world().rank != 0) continue;
    const std::string report = read_file(poisoned.dir / "nonfinite-step-3.json");
    EXPECT_NE(report.find("\"step\":3"), std::string::npos) << report;
    EXPECT_NE(report.find("\"ids\":["), std::string::npos) << report;
    EXPECT_EQ(std::count(report.begin(), report.end(), ','), 3 + 5) << "six ids: " << report;
    EXPECT_FALSE(std::filesystem::exists(poisoned.dir / "checkpoints" / "step-000000003"));
    EXPECT_TRUE(std::filesystem::exists(poisoned.dir / "checkpoints" / "step-000000002"));
    reports.push_back(report.substr(report.find("\"ids\"")));
  }
  if (world().rank != 0) return;
  EXPECT_EQ(reports.at(0), reports.at(1)) << "ids in another order";
}

// Without batch norm nothing but time and memory tells a run in chunks from one without.
TEST(Trainer, MicroBatchesChangeNeitherTheBatchesNorWhatIsMeasured) {
  Session whole(testing::shared_folder("uncut"), {.steps = 6, .norm = "group"});
  whole.trainer->resume();
  ASSERT_EQ(whole.trainer->run(), 0);
  Session chunks(testing::shared_folder("cut"), {.steps = 6, .micro_batch = 4, .norm = "group"});
  chunks.trainer->resume();
  ASSERT_EQ(chunks.trainer->run(), 0);
  if (world().rank != 0) return;
  ASSERT_EQ(chunks.records.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    const StepRecord &a = chunks.records[i], &b = whole.records[i];
    EXPECT_EQ(a.ids_hash, b.ids_hash);
    EXPECT_NEAR(a.loss, b.loss, 1e-9);
    EXPECT_NEAR(a.gradient_norm, b.gradient_norm, 1e-9 * b.gradient_norm);
    ASSERT_EQ(a.similarity.size(), 5u);
    for (size_t at = 0; at < 5; ++at) {
      EXPECT_EQ(a.similarity[at].first, b.similarity[at].first);
      EXPECT_NEAR(a.similarity[at].second, b.similarity[at].second, 1e-9) << a.similarity[at].first;
    }
  }
}

TEST(Trainer, SkipsAsManyRefusedStepsAsAllowedAndSaysSo) {
  Session run(testing::shared_folder("skipping"), {.steps = 5, .bad_step = 2, .max_skipped = 1});
  run.trainer->resume();
  ASSERT_EQ(run.trainer->run(), 0);
  for (const auto& item : run.method->named_buffers())
    EXPECT_TRUE(std::isfinite(item.value().to(at::kDouble).sum().item<double>())) << item.key();
  // Four updates, so four batches in the running statistics.
  EXPECT_EQ(run.method->named_buffers()["encoder.bn1.num_batches_tracked"].item<int64_t>(), 4);
  if (world().rank != 0) return;
  ASSERT_EQ(run.records.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(run.records[i].refused, i == 2);
    EXPECT_EQ(std::isfinite(run.records[i].loss), i != 2);
    EXPECT_EQ(run.records[i].step, static_cast<int64_t>(i + 1));
  }
  const std::string summary = read_file(run.dir / "summary.json");
  EXPECT_NE(summary.find("\"skipped_steps\": 1"), std::string::npos) << summary;
}

TEST(Trainer, ContinuesBitForBitFromACheckpoint) {
  for (const int64_t micro_batch : {0, 4}) {
    const std::string name = std::to_string(micro_batch);
    Session whole(testing::shared_folder("whole" + name), {.steps = 7, .micro_batch = micro_batch});
    whole.trainer->resume();
    ASSERT_EQ(whole.trainer->run(), 0);

    // The first session of another run ends at step 4; the second finds its checkpoint.
    const std::string folder = testing::shared_folder("halves" + name);
    {
      Session first(folder, {.steps = 4, .micro_batch = micro_batch});
      first.trainer->resume();
      ASSERT_EQ(first.trainer->run(), 0);
    }
    Session second(folder, {.steps = 7, .micro_batch = micro_batch});
    EXPECT_EQ(second.trainer->resume().step, 4);
    ASSERT_EQ(second.trainer->run(), 0);
    EXPECT_EQ(second.model_digest(), whole.model_digest());
    if (world().rank != 0) continue;
    ASSERT_EQ(second.records.size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(second.records[i].loss, whole.records[i + 4].loss);
      EXPECT_EQ(second.records[i].ids_hash, whole.records[i + 4].ids_hash);
    }
  }
}

}  // namespace
}  // namespace cltrain
