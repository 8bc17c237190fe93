// NT-Xent against the paper's formula written as three loops in double, without tensors.
#include "ops/nt_xent.h"

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using Vector = std::vector<double>;

/// One problem in plain numbers: M anchors, K candidates, D coordinates, row-major.
struct Problem {
  int64_t anchors_count, candidates_count, width;
  Vector anchors, candidates;
  std::vector<int64_t> self, positive;
  double scale;
  int64_t total;
};

/// -log( exp(s <a, p>) / sum over j != self of exp(s <a, c_j>) ), summed and divided by `total`.
double plain_loss(const Problem& problem) {
  double loss = 0;
  for (int64_t i = 0; i < problem.anchors_count; ++i) {
    double denominator = 0, positive = 0;
    for (int64_t j = 0; j < problem.candidates_count; ++j) {
      double dot = 0;
      for (int64_t d = 0; d < problem.width; ++d)
        dot += problem.anchors[i * problem.width + d] * problem.candidates[j * problem.width + d];
      if (j != problem.self[i]) denominator += std::exp(problem.scale * dot);
      if (j == problem.positive[i]) positive = std::exp(problem.scale * dot);
    }
    loss -= std::log(positive / denominator);
  }
  return loss / static_cast<double>(problem.total);
}

/// Central differences of plain_loss in every number of `field`.
Vector plain_gradient(Problem problem, Vector Problem::*field) {
  constexpr double kStep = 1e-5;
  Vector gradient;
  for (double& value : problem.*field) {
    const double middle = value;
    value = middle + kStep;
    const double above = plain_loss(problem);
    value = middle - kStep;
    gradient.push_back((above - plain_loss(problem)) / (2 * kStep));
    value = middle;
  }
  return gradient;
}

double plain_scale_gradient(Problem problem) {
  const double middle = problem.scale;
  problem.scale = middle + 1e-5;
  const double above = plain_loss(problem);
  problem.scale = middle - 1e-5;
  return (above - plain_loss(problem)) / 2e-5;
}

Vector unit_rows(int64_t rows, int64_t width, double phase) {
  Vector all;
  for (int64_t row = 0; row < rows; ++row) {
    Vector one;
    double squares = 0;
    for (int64_t d = 0; d < width; ++d) {
      one.push_back(std::sin(1.7 * static_cast<double>(row * width + d) + phase));
      squares += one.back() * one.back();
    }
    for (const double value : one) all.push_back(value / std::sqrt(squares));
  }
  return all;
}

/// A rank's rows 3..6 of a global batch of 9 images: 8 anchors among 18 candidates.
Problem share_of_a_batch(double scale) {
  Problem problem{8, 18, 5, unit_rows(8, 5, 0.4), unit_rows(18, 5, 1.1), {}, {}, scale, 18};
  for (int64_t view = 0; view < 2; ++view)
    for (int64_t row = 3; row < 7; ++row) {
      problem.self.push_back(row + 9 * view);
      problem.positive.push_back(row + 9 * (1 - view));
    }
  return problem;
}

at::Tensor matrix(const Vector& values, int64_t rows, int64_t width) {
  return at::tensor(values, at::kDouble).view({rows, width}).requires_grad_();
}

struct Leaves {
  at::Tensor anchors, candidates, scale, loss;
};

Leaves run(const Problem& problem) {
  Leaves leaves{matrix(problem.anchors, problem.anchors_count, problem.width),
                matrix(problem.candidates, problem.candidates_count, problem.width),
                at::full({}, problem.scale, at::kDouble).requires_grad_(),
                {}};
  leaves.loss = nt_xent_share(leaves.anchors, leaves.candidates, at::tensor(problem.self),
                              at::tensor(problem.positive), leaves.scale, problem.total);
  return leaves;
}

void expect_near(const at::Tensor& found, const Vector& expected, double tolerance) {
  const at::Tensor flat = found.contiguous().view(-1);
  ASSERT_EQ(flat.numel(), static_cast<int64_t>(expected.size()));
  for (int64_t i = 0; i < flat.numel(); ++i)
    EXPECT_NEAR(flat[i].item<double>(), expected[i], tolerance) << "element " << i;
}

TEST(NtXent, ValueIsTheTripleLoops) {
  for (const double scale : {1.0, 2.0, 10.0, 20.0}) {
    const Problem problem = share_of_a_batch(scale);
    EXPECT_NEAR(run(problem).loss.item<double>(), plain_loss(problem), 1e-12);
  }
}

TEST(NtXent, GradientsAreFiniteDifferencesOfTheTripleLoop) {
  for (const double scale : {1.0, 5.0}) {
    const Problem problem = share_of_a_batch(scale);
    const Leaves leaves = run(problem);
    leaves.loss.backward();
    expect_near(leaves.anchors.grad(), plain_gradient(problem, &Problem::anchors), 2e-9);
    expect_near(leaves.candidates.grad(), plain_gradient(problem, &Problem::candidates), 2e-9);
    EXPECT_NEAR(leaves.scale.grad().item<double>(), plain_scale_gradient(problem), 2e-9);
  }
}

TEST(NtXent, SharesOfRanksAddUp) {
  Problem whole = share_of_a_batch(4.0);
  const double all = plain_loss(whole);
  double sum = 0;
  for (const auto& [begin, end] : {std::pair(0, 3), std::pair(3, 3), std::pair(3, 8)}) {
    Problem part = whole;
    part.anchors_count = end - begin;
    part.anchors = Vector(whole.anchors.begin() + begin * 5, whole.anchors.begin() + end * 5);
    part.self = {whole.self.begin() + begin, whole.self.begin() + end};
    part.positive = {whole.positive.begin() + begin, whole.positive.begin() + end};
    sum += run(part).loss.item<double>();
  }
  EXPECT_NEAR(sum, all, 1e-12);
}

TEST(NtXent, NoAnchorsGiveZeroWithAGraph) {
  Problem problem = share_of_a_batch(4.0);
  problem.anchors_count = 0;
  problem.anchors.clear();
  at::Tensor anchors = at::zeros({0, 5}, at::kDouble).requires_grad_();
  at::Tensor candidates = matrix(problem.candidates, 18, 5);
  at::Tensor scale = at::full({}, 4.0, at::kDouble).requires_grad_();
  const at::Tensor none = at::zeros({0}, at::kLong);
  const at::Tensor loss = nt_xent_share(anchors, candidates, none, none, scale, 18);
  EXPECT_EQ(loss.item<double>(), 0.0);
  ASSERT_TRUE(loss.requires_grad());
  loss.backward();
  EXPECT_EQ(anchors.grad().sizes(), (std::vector<int64_t>{0, 5}));
  EXPECT_EQ(candidates.grad().abs().sum().item<double>(), 0.0);
  EXPECT_EQ(scale.grad().item<double>(), 0.0);
}

TEST(NtXent, LargeLogitsStayFinite) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    // Similarities of 1e5: exp() of one would overflow even a double.
    const at::Tensor z = (at::eye(4, at::kDouble) * std::sqrt(1e5)).to(type).requires_grad_();
    const at::Tensor self = at::arange(4, at::kLong), positive = (self + 2).remainder(4);
    const at::Tensor scale = at::ones({}, type);
    const at::Tensor loss =
        nt_xent_share(z, at::stack({z[2], z[3], z[0], z[1]}), positive, self, scale, 4);
    EXPECT_NEAR(loss.item<double>(), std::log(3.0), 1e-6);
    loss.backward();
    EXPECT_TRUE(z.grad().isfinite().all().item<bool>());
    // The hardest case: the positive is 1e5 below the best candidate.
    const at::Tensor worst =
        nt_xent_share(z.detach(), z.detach(), positive, (self + 1).remainder(4), scale, 4);
    EXPECT_NEAR(worst.item<double>(), 1e5, 1e-1);
  }
}

TEST(NtXent, AutocastChangesNoBit) {
  const Problem problem = share_of_a_batch(10.0);
  const at::Tensor a = at::tensor(problem.anchors).view({8, 5}).to(at::kFloat);
  const at::Tensor c = at::tensor(problem.candidates).view({18, 5}).to(at::kFloat);
  const auto loss = [&] {
    return nt_xent_share(a, c, at::tensor(problem.self), at::tensor(problem.positive),
                         at::full({}, 10.0, at::kFloat), problem.total);
  };
  const at::Tensor plain = loss();
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const at::Tensor rounded = a.matmul(c.t());  // autocast is on: this product is in bfloat16
  const at::Tensor under_autocast = loss();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::clear_cache();
  EXPECT_EQ(rounded.scalar_type(), at::kBFloat16);
  EXPECT_EQ(under_autocast.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(under_autocast, plain));
}

TEST(NtXent, RefusesWidthsThatDiffer) {
  const at::Tensor none = at::zeros({2}, at::kLong);
  EXPECT_THROW(nt_xent_share(at::zeros({2, 3}), at::zeros({4, 5}), none, none, at::ones({}), 4),
               c10::Error);
}

}  // namespace
}  // namespace cltrain
