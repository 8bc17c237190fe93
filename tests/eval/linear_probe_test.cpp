// The linear probe against Newton's method in double, and its arithmetic against plain formulas.
#include "eval/linear_probe.h"

#include "eval/softmax_regression.h"
#include "tests/eval/one_rank.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

/// Overlapping clusters, so that the optimum is finite and accuracy is no round number.
Features clusters(int64_t rows, int64_t width, int64_t classes, uint64_t seed) {
  at::manual_seed(seed);
  const at::Tensor labels = at::arange(rows, at::kLong).remainder(classes);
  at::manual_seed(99);
  const at::Tensor centres = at::randn({classes, width});
  at::manual_seed(seed + 1);
  return {centres.index_select(0, labels) + 1.5 * at::randn({rows, width}), labels};
}

struct Optimum {
  double objective;
  at::Tensor weight;  // [C, F] double
};

/// Newton's method on mean cross entropy + decay / 2 |W|^2, free biases, in double.
Optimum newton(const at::Tensor& vectors, const at::Tensor& labels, int64_t classes, double decay) {
  const int64_t n = vectors.size(0), depth = vectors.size(1) + 1;
  const at::Tensor x = at::cat({vectors.to(at::kDouble), at::ones({n, 1}, at::kDouble)}, 1);
  const at::Tensor target = at::one_hot(labels, classes).to(at::kDouble);
  at::Tensor mask = at::ones({classes, depth}, at::kDouble);
  mask.select(1, depth - 1).zero_();
  at::Tensor w = at::zeros({classes, depth}, at::kDouble);
  for (int step = 0; step < 30; ++step) {
    const at::Tensor p = x.mm(w.t()).softmax(1);
    const at::Tensor gradient = (p - target).t().mm(x) / n + decay * mask * w;
    // H[(c, i), (d, j)] = mean of p_c (delta_cd - p_d) x_i x_j.
    const at::Tensor spread = at::diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1);  // [n, C, C]
    at::Tensor hessian = at::einsum("ncd,ni,nj->cidj", {spread, x, x}) / n;
    hessian = hessian.reshape({classes * depth, classes * depth});
    hessian = hessian + at::diag(decay * mask.view(-1) + 1e-12);
    w = w - at::linalg_solve(hessian, gradient.view({-1, 1})).view_as(w);
  }
  const at::Tensor logp = x.mm(w.t()).log_softmax(1);
  const double loss = -(logp * target).sum().item<double>() / static_cast<double>(n);
  return {loss + decay / 2 * (mask * w).square().sum().item<double>(),
          w.narrow(1, 0, depth - 1).clone()};
}

ProbeOptions options_for(const std::string& optimizer) {
  ProbeOptions options;
  options.optimizer = optimizer;
  options.normalize = "none";
  options.weight_decay = 1e-2;
  options.lr = 0.05;
  options.batch = 64;
  options.epochs = 200;
  return options;
}

TEST(LinearProbe, LbfgsFindsNewtonsOptimum) {
  const auto alone = testing::one_rank();
  const Features train = clusters(400, 9, 5, 1);
  const ProbeResult result = linear_probe(train, train, 5, options_for("lbfgs"), 0, *alone);
  const Optimum expected = newton(train.vectors, train.labels, 5, 1e-2);
  EXPECT_NEAR(result.objective, expected.objective, 1e-6);
  EXPECT_LT((result.weight.to(at::kDouble) - expected.weight).abs().max().item<double>(), 2e-3);
  EXPECT_LT(result.iterations, 200);
}

TEST(LinearProbe, MiniBatchesComeCloseToIt) {
  const auto alone = testing::one_rank();
  const Features train = clusters(400, 9, 5, 1);
  const ProbeResult result = linear_probe(train, train, 5, options_for("sgd"), 0, *alone);
  const Optimum expected = newton(train.vectors, train.labels, 5, 1e-2);
  EXPECT_GE(result.objective, expected.objective - 1e-6);
  EXPECT_NEAR(result.objective, expected.objective, 5e-4);
  EXPECT_EQ(result.iterations, 200 * 7);
  // The seed changes the order of the rows and little else.
  const ProbeResult other = linear_probe(train, train, 5, options_for("sgd"), 1, *alone);
  EXPECT_FALSE(at::equal(result.weight, other.weight));
  EXPECT_NEAR(result.objective, other.objective, 5e-4);
}

TEST(LinearProbe, AccuraciesAreThoseOfTheWeightsItReturns) {
  const auto alone = testing::one_rank();
  const Features train = clusters(700, 12, 8, 3), test = clusters(211, 12, 8, 50);
  const ProbeResult result = linear_probe(train, test, 8, options_for("lbfgs"), 0, *alone);
  const at::Tensor logits = test.vectors.mm(result.weight.t()) + result.bias;
  const at::Tensor right = logits.argmax(1) == test.labels;
  EXPECT_NEAR(result.top1, right.to(at::kDouble).mean().item<double>(), 1e-12);
  const at::Tensor five = std::get<1>(logits.topk(5, 1)) == test.labels.unsqueeze(1);
  EXPECT_NEAR(result.top5, five.any(1).to(at::kDouble).mean().item<double>(), 1e-12);
  EXPECT_GT(result.top1, 0.5);
  EXPECT_LT(result.top1, 1.0);
  ASSERT_EQ(result.classes.size(), 8u);
  for (const ClassAccuracy& one : result.classes) {
    const at::Tensor mine = right.masked_select(test.labels == one.label);
    EXPECT_EQ(one.queries, mine.numel());
    EXPECT_NEAR(one.top1, mine.to(at::kDouble).mean().item<double>(), 1e-12);
  }
}

TEST(LinearProbe, StandardizedFeaturesDoNotFeelScaleAndShift) {
  const auto alone = testing::one_rank();
  const Features train = clusters(300, 6, 3, 7);
  ProbeOptions options = options_for("lbfgs");
  options.normalize = "standardize";
  const double before = linear_probe(train, train, 3, options, 0, *alone).objective;
  const Features moved{train.vectors * at::tensor({1e-3f, 1.f, 5.f, 300.f, 2.f, 7.f}) + 40.f,
                       train.labels};
  EXPECT_NEAR(linear_probe(moved, moved, 3, options, 0, *alone).objective, before, 1e-4);
}

TEST(LinearProbe, StandardizeGivesMomentsOfTheTrainingRowsAndZeroForConstants) {
  const auto alone = testing::one_rank();
  at::Tensor train = 3 + 2 * at::randn({500, 4});
  train.select(1, 2).fill_(0.1);
  const FeatureScaler scaler(train, "standardize", *alone);
  const at::Tensor scaled = scaler(train).to(at::kDouble) * 2;  // sqrt(4)
  EXPECT_LT(scaled.mean(0).abs().max().item<double>(), 1e-6);
  EXPECT_NEAR(scaled.square().mean(0)[0].item<double>(), 1, 1e-5);
  EXPECT_EQ(scaled.select(1, 2).abs().max().item<double>(), 0);
  const at::Tensor l2 = FeatureScaler(train, "l2", *alone)(train);
  EXPECT_LT((l2.norm(2, {1}) - 1).abs().max().item<double>(), 1e-6);
}

TEST(SoftmaxRows, GradientAndLossAreThePlainFormulas) {
  for (const double size : {0.01, 1.0, 40.0})
    for (const int64_t classes : {2, 16, 37}) {
      SCOPED_TRACE(::testing::Message() << "logits of " << size << ", classes " << classes);
      const Features data = clusters(133, 21, classes, 11);
      SoftmaxRows rows(data.vectors, data.labels, classes);
      const SoftmaxShape shape = rows.shape();
      at::Tensor w = at::zeros({shape.depth(), shape.lanes()}, at::kFloat);
      w.narrow(1, 0, classes).copy_(size * at::randn({shape.depth(), classes}));
      at::Tensor gradient = at::full_like(w, 7);
      std::vector<int64_t> some(50);
      std::iota(some.begin(), some.end(), 40);
      const double loss =
          rows.gradient(w.const_data_ptr<float>(), some, 0.5f, gradient.mutable_data_ptr<float>());
      const at::Tensor x =
          at::cat({data.vectors, at::ones({133, 1})}, 1).narrow(0, 40, 50).to(at::kDouble);
      const at::Tensor logits = x.mm(w.narrow(1, 0, classes).to(at::kDouble));
      const at::Tensor target = at::one_hot(data.labels.narrow(0, 40, 50), classes).to(at::kDouble);
      const double expected = -(logits.log_softmax(1) * target).sum().item<double>();
      EXPECT_NEAR(loss, expected, 1e-5 * std::max(1.0, expected));
      const at::Tensor exact = 0.5 * x.t().mm(logits.softmax(1) - target);
      const at::Tensor error = gradient.narrow(1, 0, classes).to(at::kDouble) - exact;
      EXPECT_LT(error.abs().max().item<double>(),
                2e-5 * std::max(1.0, exact.abs().max().item<double>()));
      EXPECT_EQ(gradient.narrow(1, classes, shape.lanes() - classes).abs().sum().item<double>(), 0);
    }
}

TEST(SoftmaxRows, ThreadsChangeNoBit) {
  const Features data = clusters(2100, 33, 20, 13);
  SoftmaxRows rows(data.vectors, data.labels, 20);
  std::vector<float> w(static_cast<size_t>(rows.shape().size()));
  for (size_t i = 0; i < w.size(); ++i) w[i] = i % 32 < 20 ? 0.01f * static_cast<float>(i % 91) : 0;
  const int before = at::get_num_threads();
  std::vector<float> one(w.size()), many(w.size());
  at::set_num_threads(1);
  const double loss = rows.full_gradient(w.data(), 1, one.data());
  at::set_num_threads(3);
  EXPECT_EQ(rows.full_gradient(w.data(), 1, many.data()), loss);
  at::set_num_threads(before);
  EXPECT_EQ(one, many);
}

TEST(LinearProbe, RefusesWhatCannotBeTrained) {
  const auto alone = testing::one_rank();
  const Features good = clusters(20, 3, 2, 1);
  const ProbeOptions options = options_for("sgd");
  Features bad = clusters(20, 3, 2, 1);
  bad.labels = bad.labels + 1;
  EXPECT_THROW(linear_probe(bad, good, 2, options, 0, *alone), c10::Error);
  EXPECT_THROW(linear_probe(good, bad, 2, options, 0, *alone), c10::Error);
  bad = clusters(20, 3, 2, 1);
  bad.vectors[3][1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(linear_probe(bad, good, 2, options, 0, *alone), c10::Error);
  EXPECT_THROW(linear_probe(good, bad, 2, options, 0, *alone), c10::Error);
  const Features none{at::zeros({0, 3}), at::zeros({0}, at::kLong)};
  EXPECT_THROW(linear_probe(none, good, 2, options, 0, *alone), c10::Error);
  ProbeOptions wild = options;
  wild.lr = 1e30;
  EXPECT_THROW(linear_probe(good, good, 2, wild, 0, *alone), c10::Error);
}

}  // namespace
}  // namespace cltrain
