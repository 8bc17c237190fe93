// Cross-entropy of labelled rows against loops in float64, written from the formula.
#include "ops/cross_entropy.h"

#include <cmath>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

constexpr int64_t kClasses = 4;

at::Tensor some_logits(int64_t rows) {
  return ((at::arange(rows * kClasses, at::kDouble) * 1.37 + 0.3).sin() * 3).view({rows, kClasses});
}

std::vector<double> softmax(const at::Tensor& row) {
  std::vector<double> p;
  double sum = 0;
  for (int64_t c = 0; c < kClasses; ++c) sum += std::exp(row[c].item<double>());
  for (int64_t c = 0; c < kClasses; ++c) p.push_back(std::exp(row[c].item<double>()) / sum);
  return p;
}

/// What the target gives class c of a row with this label.
double target(int64_t c, int64_t label, double smoothing) {
  return (c == label ? 1 - smoothing : 0.0) + smoothing / kClasses;
}

TEST(CrossEntropy, ValuesAndGradientsAreTheFormulas) {
  const std::vector<int64_t> labels{2, -1, 0, 3, 3, -1, 1};
  const auto rows = static_cast<int64_t>(labels.size());
  for (const double smoothing : {0.0, 0.1, 0.9}) {
    const at::Tensor logits = some_logits(rows).requires_grad_(true);
    const at::Tensor loss = cross_entropy_rows(logits, at::tensor(labels, at::kLong), smoothing);
    ASSERT_EQ(loss.sizes(), (std::vector<int64_t>{rows}));
    const at::Tensor weights = at::arange(1, rows + 1, at::kDouble);
    (loss * weights).sum().backward();
    for (int64_t i = 0; i < rows; ++i) {
      const std::vector<double> p = softmax(logits.detach()[i]);
      double expected = 0;
      for (int64_t c = 0; c < kClasses; ++c) {
        const double share = labels[i] < 0 ? 0 : target(c, labels[i], smoothing);
        expected -= share * std::log(p[c]);
        const double slope = labels[i] < 0 ? 0 : weights[i].item<double>() * (p[c] - share);
        EXPECT_NEAR(logits.grad()[i][c].item<double>(), slope, 1e-12) << i << " " << c;
      }
      EXPECT_NEAR(loss[i].item<double>(), expected, 1e-12) << i;
    }
  }
}

TEST(CrossEntropy, LargeLogitsDoNotOverflow) {
  const at::Tensor logits = at::tensor({1e5, 0.0, -1e5, 0.0}, at::kFloat).view({1, kClasses});
  const auto of_label = [&](int64_t label) {
    return cross_entropy_rows(logits, at::full({1}, label, at::kLong)).item<double>();
  };
  EXPECT_EQ(of_label(0), 0);
  EXPECT_EQ(of_label(2), 2e5);
}

TEST(CrossEntropy, NoRowsAreZeroWithAGraph) {
  const at::Tensor logits = some_logits(0).requires_grad_(true);
  const at::Tensor sum = cross_entropy_rows(logits, at::empty({0}, at::kLong), 0.1).sum();
  EXPECT_EQ(sum.item<double>(), 0);
  sum.backward();
  EXPECT_EQ(logits.grad().numel(), 0);
}

TEST(CrossEntropy, RefusesWhatDoesNotFit) {
  EXPECT_THROW(cross_entropy_rows(some_logits(3), at::zeros({2}, at::kLong)), c10::Error);
  EXPECT_THROW(cross_entropy_rows(some_logits(1), at::full({1}, kClasses, at::kLong)), c10::Error);
}

}  // namespace
}  // namespace cltrain
