// sync_batch_norm on the local rows alone (no communicator): value, statistics and gradients
// through autograd against ATen's batch norm. Several ranks: tests/dist/.
#include "dist/sync_batch_norm.h"

#include <cmath>
#include <tuple>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using Shape = std::vector<int64_t>;

at::Tensor values(const Shape& shape, at::ScalarType type, double phase) {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  return ((at::arange(count, at::kDouble) * 0.77 + phase).sin() + 0.4).to(type).view(shape);
}

struct Result {
  at::Tensor y, dx, dweight, dbias, mean, variance;
};

Result mine(const Shape& shape, at::ScalarType type) {
  at::Tensor x = values(shape, type, 0.1).requires_grad_();
  at::Tensor weight = values({shape[1]}, type, 2.5).requires_grad_();
  at::Tensor bias = values({shape[1]}, type, 3.1).requires_grad_();
  BatchStatistics statistics;
  const at::Tensor y = sync_batch_norm(x, weight, bias, 1e-5, nullptr, statistics);
  y.backward(values(shape, type, 1.9));
  EXPECT_EQ(y.scalar_type(), type);
  EXPECT_EQ(weight.grad().scalar_type(), type);
  return {y.detach(),  x.grad(),        weight.grad(),
          bias.grad(), statistics.mean, statistics.unbiased_variance};
}

Result atens(const Shape& shape) {
  const at::Tensor x = values(shape, at::kDouble, 0.1), dy = values(shape, at::kDouble, 1.9);
  const at::Tensor weight = values({shape[1]}, at::kDouble, 2.5);
  const at::Tensor bias = values({shape[1]}, at::kDouble, 3.1);
  const at::Tensor mean = at::zeros({shape[1]}, at::kDouble), variance = at::zeros_like(mean);
  // Momentum 1: the running statistics become those of the batch.
  const auto [y, save_mean, inverse] =
      at::native_batch_norm(x, weight, bias, mean, variance, true, 1.0, 1e-5);
  const auto [dx, dweight, dbias] = at::native_batch_norm_backward(
      dy, x, weight, {}, {}, save_mean, inverse, true, 1e-5, {true, true, true});
  return {y, dx, dweight, dbias, mean, variance};
}

void expect_near(const Result& found, const Result& expected, double tolerance, double rows) {
  const auto error = [](const at::Tensor& a, const at::Tensor& b) {
    EXPECT_EQ(a.sizes(), b.sizes());
    return (a.to(at::kDouble) - b).abs().max().item<double>();
  };
  EXPECT_LT(error(found.y, expected.y), tolerance);
  EXPECT_LT(error(found.dx, expected.dx), tolerance);
  EXPECT_LT(error(found.dweight, expected.dweight), tolerance * rows);
  EXPECT_LT(error(found.dbias, expected.dbias), tolerance * rows);
  EXPECT_LT(error(found.mean, expected.mean), tolerance);
  EXPECT_LT(error(found.variance, expected.variance), tolerance);
}

const std::vector<Shape> kShapes{{2, 1},       {6, 3},        {33, 5},
                                 {4, 3, 7, 1}, {3, 5, 9, 11}, {1, 4, 3, 3}};

TEST(SyncBatchNorm, AloneItIsATensInDouble) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::PrintToString(shape));
    const Result found = mine(shape, at::kDouble);
    EXPECT_EQ(found.mean.scalar_type(), at::kDouble);
    expect_near(found, atens(shape), 1e-12, static_cast<double>(found.y.numel()) / shape[1]);
  }
}

TEST(SyncBatchNorm, AloneItIsATensInFloat) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::PrintToString(shape));
    const Result found = mine(shape, at::kFloat);
    expect_near(found, atens(shape), 1e-5, static_cast<double>(found.y.numel()) / shape[1]);
  }
}

TEST(SyncBatchNorm, OneValueAChannelIsTheShift) {
  at::Tensor x = values({1, 3}, at::kDouble, 0.1).requires_grad_();
  const at::Tensor weight = values({3}, at::kDouble, 2.5), bias = values({3}, at::kDouble, 3.1);
  BatchStatistics statistics;
  const at::Tensor y = sync_batch_norm(x, weight, bias, 1e-5, nullptr, statistics);
  EXPECT_TRUE(at::equal(y.detach(), bias.view({1, 3})));
  EXPECT_TRUE(at::equal(statistics.mean, x.detach()[0]));
  EXPECT_EQ(statistics.unbiased_variance.abs().max().item<double>(), 0.0);
  y.sum().backward();
  EXPECT_LT(x.grad().abs().max().item<double>(), 1e-12);
}

TEST(SyncBatchNorm, NoRowsHaveZeroGradients) {
  for (const Shape& shape : {Shape{0, 3}, Shape{0, 3, 5, 5}}) {
    at::Tensor x = at::zeros(shape, at::kFloat).requires_grad_();
    at::Tensor weight = at::ones({3}).requires_grad_(), bias = at::zeros({3}).requires_grad_();
    BatchStatistics statistics;
    const at::Tensor y = sync_batch_norm(x, weight, bias, 1e-5, nullptr, statistics);
    EXPECT_EQ(y.sizes(), x.sizes());
    y.sum().backward();
    EXPECT_EQ(x.grad().sizes(), x.sizes());
    EXPECT_TRUE(at::equal(weight.grad(), at::zeros({3})));
    EXPECT_TRUE(at::equal(bias.grad(), at::zeros({3})));
  }
}

TEST(SyncBatchNorm, ScaleAndShiftAreOptional) {
  const at::Tensor x = values({5, 3, 2, 2}, at::kDouble, 0.1);
  const at::Tensor mean = x.mean({0, 2, 3}, true);
  const at::Tensor expected =
      (x - mean) / ((x - mean).square().mean({0, 2, 3}, true) + 1e-5).sqrt();
  BatchStatistics statistics;
  const at::Tensor y = sync_batch_norm(x, {}, {}, 1e-5, nullptr, statistics);
  EXPECT_LT((y - expected).abs().max().item<double>(), 1e-12);
}

}  // namespace
}  // namespace cltrain
