// Fine-tuning on one rank: its loss and accuracy against loops over its own logits, its classifier
// on clips that were averaged, what it refuses.
#include "models/methods/finetune.h"

#include "data/dataset.h"
#include "models/nets/layers.h"
#include "models/registry.h"
#include "tests/eval/one_rank.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

constexpr int64_t kClasses = 3;

MethodOptions small_finetune() {
  MethodOptions options;
  options.name = "finetune";
  options.model.name = "small_conv";
  options.model.width = 0.125;
  return options;
}

Communicators one_rank_communicators() {
  return {testing::one_rank(), testing::one_rank(), testing::one_rank()};
}

at::Tensor images(int64_t rows) {
  return (at::arange(rows * 3 * 8 * 8, at::kDouble) * 0.77 + 0.1).sin().view({rows, 3, 8, 8});
}

Batch batch_of(const std::vector<int64_t>& labels) {
  Batch batch;
  batch.tensors = {{"view0", images(static_cast<int64_t>(labels.size()))}};
  batch.labels = at::tensor(labels, at::kLong);
  return batch;
}

/// The mean cross-entropy of the rows with a label, and the share of them that is right.
std::pair<double, double> by_loops(const at::Tensor& logits, const std::vector<int64_t>& labels) {
  double loss = 0;
  int64_t count = 0, right = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) continue;
    double sum = 0;
    std::vector<double> row;
    for (int64_t c = 0; c < kClasses; ++c) {
      row.push_back(logits[static_cast<int64_t>(i)][c].item<double>());
      sum += std::exp(row.back());
    }
    loss += std::log(sum) - row[labels[i]];
    right += std::max_element(row.begin(), row.end()) - row.begin() == labels[i];
    ++count;
  }
  return {loss / static_cast<double>(count), static_cast<double>(right) / count};
}

struct Step {
  std::shared_ptr<Method> method;
  at::Tensor logits;
  LossShare loss;
};

Step one_step(const std::vector<int64_t>& labels) {
  const Communicators ranks = one_rank_communicators();
  Step step{make_method(small_finetune(), 3, *ranks.loss, {.size = 8, .classes = kClasses})};
  move_to(*step.method, c10::kCPU, at::kDouble);
  // Logits that tell the classes apart.
  step.method->named_parameters()["classifier.weight"].detach().mul_(100);
  const Batch batch = batch_of(labels);
  const StepContext context{ranks, 3, 0, 0, {static_cast<int64_t>(labels.size())}};
  const Phase phase = step.method->plan(0, 1).at(0);
  step.method->train();
  const std::vector<at::Tensor> encoded = step.method->encode(phase, batch, context);
  step.loss = step.method->contrast(phase, encoded, batch, context);
  step.loss.share.backward();
  step.logits = encoded.at(0).detach();
  return step;
}

TEST(Finetune, LossAndAccuracyAreThoseOfTheRowsWithALabel) {
  const std::vector<int64_t> labels{0, 2, -1, 1, 1, -1, 0};
  const Step step = one_step(labels);
  const auto [loss, accuracy] = by_loops(step.logits, labels);
  EXPECT_NEAR(step.loss.share.item<double>(), loss, 1e-12);
  ASSERT_EQ(step.loss.scalars.size(), 1u);
  EXPECT_EQ(step.loss.scalars[0].first, "accuracy");
  EXPECT_DOUBLE_EQ(step.loss.scalars[0].second, accuracy);
  for (const auto& item : step.method->named_parameters())
    EXPECT_GT(item.value().grad().abs().sum().item<double>(), 0) << item.key() << " is not trained";
}

TEST(Finetune, ABatchWithoutALabelTeachesNothing) {
  const Step step = one_step({-1, -1, -1});
  EXPECT_EQ(step.loss.share.item<double>(), 0);
  EXPECT_TRUE(step.loss.scalars.empty());
  for (const at::Tensor& parameter : step.method->parameters())
    EXPECT_EQ(parameter.grad().abs().sum().item<double>(), 0);
}

TEST(Finetune, ScoresOfMeanFeaturesAreTheMeanOfTheScores) {
  const auto alone = testing::one_rank();
  const auto method = make_method(small_finetune(), 3, *alone, {.size = 8, .classes = kClasses});
  method->eval();
  constexpr int64_t kSamples = 5, kClips = 10;
  const at::Tensor features = method->embed(images(kSamples * kClips).to(at::kFloat)).detach();
  ASSERT_TRUE(method->classifies());
  const at::Tensor each = method->classify(features.to(at::kDouble));
  EXPECT_EQ(each.sizes(), (std::vector<int64_t>{kSamples * kClips, kClasses}));
  const at::Tensor mean = method->classify(features.view({kSamples, kClips, -1}).mean(1));
  EXPECT_TRUE(mean.allclose(each.view({kSamples, kClips, kClasses}).mean(1), 1e-5, 1e-6));
  EXPECT_GT((mean[0] - mean[1]).abs().max().item<double>(), 1e-5) << "all samples are alike";
}

TEST(Finetune, TheClassifierStartsKeyedAndNearZero) {
  const auto alone = testing::one_rank();
  const InputShape input{.size = 8, .classes = 500};
  const auto first = make_method(small_finetune(), 3, *alone, input);
  const auto again = make_method(small_finetune(), 3, *alone, input);
  const auto other = make_method(small_finetune(), 4, *alone, input);
  const auto weight = [](const std::shared_ptr<Method>& method) {
    return method->named_parameters()["classifier.weight"].detach();
  };
  EXPECT_TRUE(weight(first).equal(weight(again)));
  EXPECT_FALSE(weight(first).equal(weight(other)));
  EXPECT_NEAR(weight(first).std().item<double>(), 0.01, 0.0005);
  EXPECT_EQ(first->named_parameters()["classifier.bias"].abs().max().item<double>(), 0);
}

TEST(Finetune, NeedsLabels) {
  const auto alone = testing::one_rank();
  for (const int64_t classes : {0, 1}) {
    try {
      make_method(small_finetune(), 1, *alone, {.size = 8, .classes = classes});
      ADD_FAILURE() << "made for " << classes << " classes";
    } catch (const DataError& error) {
      const std::string text = error.what();
      EXPECT_EQ(text.find("method.name=finetune learns labels"), 0u) << text;
      EXPECT_NE(text.find(classes == 0 ? "has none" : "has 1 class"), std::string::npos) << text;
    }
  }
}

TEST(Finetune, OtherMethodsHaveNoClassifier) {
  const auto alone = testing::one_rank();
  MethodOptions options = small_finetune();
  options.name = "simclr";
  const auto method = make_method(options, 1, *alone, {.size = 8, .classes = kClasses});
  EXPECT_FALSE(method->classifies());
  EXPECT_FALSE(method->classify(at::zeros({2, 4})).defined());
}

TEST(Finetune, TakesImagesAndClipsWithAnEncoderThatFits) {
  MethodOptions options = small_finetune();
  EXPECT_TRUE(problems(options, InputShape{.size = 28}).empty());
  EXPECT_EQ(problems(options, InputShape{.size = 28, .frames = 8}).size(), 1u);
  options.model.name = "r3d18";
  EXPECT_TRUE(problems(options, InputShape{.size = 28, .frames = 8}).empty());
  const std::vector<std::string> found = problems(options, InputShape{.size = 28});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].find("model.name=r3d18 takes clips of video, and the data gives images; "
                          "allowed with it: resnet18, "),
            0u)
      << found[0];
  EXPECT_EQ(method_line("finetune").views, 1);
  EXPECT_EQ(method_line("simclr").views, 2);
}

TEST(Finetune, ItsOptionsAreItsOwn) {
  MethodOptions options;
  options.finetune.label_smoothing = 0.1;
  const std::vector<std::string> found = problems(options, 1);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].find("finetune.label_smoothing=0.1 is an option of finetune"), 0u) << found[0];
}

}  // namespace
}  // namespace cltrain
