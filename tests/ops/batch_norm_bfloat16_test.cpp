// Batch norm of bfloat16 on the CPU against the formulas in float64 on the same, rounded, numbers:
// what is found may differ by the rounding of the result to bfloat16, and by no more.
#include "ops/batch_norm_bfloat16.h"

#include "ops/batch_norm.h"

#include <cmath>
#include <limits>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using Shape = std::vector<int64_t>;

at::Tensor values(const Shape& shape, double phase, double offset = 0.2) {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  const at::Tensor i = at::arange(count, at::kDouble);
  return ((i * 0.77 + phase).sin() + 0.3 * (i * 0.013 + phase).cos() + offset)
      .to(at::kBFloat16)
      .view(shape);
}

struct Parts {
  at::Tensor y, dx, dweight, dbias,
      passed;  // passed: what the ReLU lets through of dy
};

struct Case {
  at::Tensor x, dy, weight, bias, addend;
  bool relu = false;
};

Case make_case(const Shape& shape, bool affine, bool relu, bool addend, double offset = 0.2) {
  return {.x = values(shape, 0.1, offset),
          .dy = values(shape, 1.9),
          .weight = affine ? values({shape[1]}, 2.5).to(at::kFloat) : at::Tensor(),
          .bias = affine ? values({shape[1]}, 3.1).to(at::kFloat) : at::Tensor(),
          .addend = addend ? values(shape, 4.2, -0.2) : at::Tensor(),
          .relu = relu};
}

Parts by_kernels(const Case& c) {
  const int64_t channels = c.x.size(1);
  const at::Tensor moments = bfloat16_moments(c.x);
  const at::Tensor mean = moments.narrow(0, 0, channels);
  const at::Tensor count = moments.narrow(0, 2 * channels, 1);
  const at::Tensor inverse = (moments.narrow(0, channels, channels) / count + 1e-5).rsqrt();
  const at::Tensor y = bfloat16_normalize(c.x, mean, inverse, c.weight, c.bias, c.addend, c.relu);
  const at::Tensor mask = c.relu ? y : at::Tensor();
  const at::Tensor sums = bfloat16_gradient_sums(c.dy, c.x, mask, mean, inverse);
  return {y,
          bfloat16_input_gradient(c.dy, c.x, mask, mean, inverse, c.weight, sums / count),
          sums[1],
          sums[0],
          {}};
}

/// The plain formulas, in float64. Whether the ReLU lets a gradient through is read from `y`, where
/// a value so close to 0 that its sign is a matter of rounding is what was computed.
Parts by_formula(const Case& c, const at::Tensor& y) {
  Shape shape(c.x.dim(), 1), rest{0};
  shape[1] = c.x.size(1);
  for (int64_t d = 2; d < c.x.dim(); ++d) rest.push_back(d);
  const at::Tensor x = c.x.to(at::kDouble), centred = x - x.mean(rest, true);
  const at::Tensor inverse = (centred.square().mean(rest, true) + 1e-5).rsqrt();
  const at::Tensor normal = centred * inverse;
  const at::Tensor scale =
      c.weight.defined() ? c.weight.to(at::kDouble).view(shape) : at::ones(shape, at::kDouble);
  at::Tensor value = normal * scale;
  if (c.bias.defined()) value = value + c.bias.to(at::kDouble).view(shape);
  if (c.addend.defined()) value = value + c.addend.to(at::kDouble);
  at::Tensor dy = c.dy.to(at::kDouble);
  if (c.relu) {
    value = value.clamp_min(0);
    dy = dy * (y > 0);
  }
  const at::Tensor dx =
      (dy - dy.mean(rest, true) - normal * (dy * normal).mean(rest, true)) * inverse * scale;
  return {value, dx, (dy * normal).sum(rest), dy.sum(rest), dy};
}

/// Half a unit of bfloat16's last place, and the rounding of float32 arithmetic on numbers near 1.
void expect_rounded(const at::Tensor& found, const at::Tensor& exact, double arithmetic = 1e-5) {
  ASSERT_EQ(found.scalar_type(), at::kBFloat16);
  ASSERT_EQ(found.sizes(), exact.sizes());
  const at::Tensor over = (found.to(at::kDouble) - exact).abs() - exact.abs() / 256 - arithmetic;
  EXPECT_LE(over.max().item<double>(), 0);
}

void expect_formula(const Case& c) {
  const Parts found = by_kernels(c), exact = by_formula(c, found.y);
  expect_rounded(found.y, exact.y);
  expect_rounded(found.dx, exact.dx);
  const double error = 2e-6 * c.x.numel() / c.x.size(1);
  EXPECT_LT((found.dweight - exact.dweight).abs().max().item<double>(), error);
  EXPECT_LT((found.dbias - exact.dbias).abs().max().item<double>(), error);
}

// Rows of fewer than a block, of several blocks and a remainder; channels that fill no vector.
const std::vector<Shape> kShapes{{6, 3},          {3, 1},        {700, 37},       {4, 3, 7},
                                 {2, 4, 8, 8},    {9, 33, 1, 1}, {2, 16, 31, 23}, {5, 2, 3, 3, 3},
                                 {3, 64, 19, 17}, {2, 600, 9, 8}};

TEST(Bfloat16BatchNorm, EqualsTheFormulaWithinTheRoundingOfTheResult) {
  for (const Shape& shape : kShapes)
    for (const bool affine : {true, false})
      for (const bool relu : {true, false})
        for (const bool addend : {true, false}) {
          SCOPED_TRACE(testing::PrintToString(shape) + (affine ? " affine" : "") +
                       (relu ? " relu" : "") + (addend ? " addend" : ""));
          expect_formula(make_case(shape, affine, relu, addend));
        }
}

// Float32 sums of squares would lose all digits of the spread: the values are near 300, where
// bfloat16 has steps of 2.
TEST(Bfloat16BatchNorm, NoCancellationAroundALargeMean) {
  Case c = make_case({4, 24, 30, 30}, true, true, false);
  c.x = (values({4, 24, 30, 30}, 0.1).to(at::kDouble) * 4 + 300).to(at::kBFloat16);
  expect_formula(c);
}

TEST(Bfloat16BatchNorm, MomentsAreFloat64Sums) {
  for (const Shape& shape : kShapes) {
    const at::Tensor x = values(shape, 0.6), moments = bfloat16_moments(x);
    const at::Tensor rows = x.to(at::kDouble).transpose(0, 1).reshape({shape[1], -1});
    const at::Tensor mean = rows.mean(1), squares = (rows - mean.unsqueeze(1)).square().sum(1);
    EXPECT_LT((moments.narrow(0, 0, shape[1]) - mean).abs().max().item<double>(), 1e-6);
    EXPECT_LT(((moments.narrow(0, shape[1], shape[1]) - squares) / (squares + 1e-9))
                  .abs()
                  .max()
                  .item<double>(),
              1e-5);
    EXPECT_EQ(moments[2 * shape[1]].item<double>(), static_cast<double>(rows.size(1)));
  }
}

// The general functions come here with bfloat16.
TEST(Bfloat16BatchNorm, IsWhatTheGeneralFunctionsCompute) {
  const Case c = make_case({3, 20, 9, 11}, true, false, false);
  const Parts direct = by_kernels(c);
  const at::Tensor moments = channel_moments(c.x), mean = moments.narrow(0, 0, 20);
  const at::Tensor inverse = (moments.narrow(0, 20, 20) / moments[40] + 1e-5).rsqrt();
  const at::Tensor sums = channel_gradient_sums(c.dy, c.x, mean, inverse);
  EXPECT_TRUE(at::equal(channel_normalize(c.x, mean, inverse, c.weight, c.bias), direct.y));
  EXPECT_TRUE(at::equal(sums[1], direct.dweight));
  EXPECT_TRUE(at::equal(
      channel_input_gradient(c.dy, c.x, mean, inverse, c.weight, sums / moments[40]), direct.dx));
}

TEST(Bfloat16BatchNorm, SameBitsInAnyLayoutAndOnTwoThreads) {
  const Case c = make_case({6, 40, 21, 19}, true, true, true);
  at::set_num_threads(1);
  const Parts one = by_kernels(c);
  at::set_num_threads(2);
  Case last = c;
  for (at::Tensor* tensor : {&last.x, &last.addend})  // dy stays as it was: layouts may be mixed
    *tensor = tensor->contiguous(at::MemoryFormat::ChannelsLast);
  const Parts two = by_kernels(last);
  EXPECT_TRUE(two.y.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(two.dx.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(at::equal(one.y, two.y));
  EXPECT_TRUE(at::equal(one.dx, two.dx));
  EXPECT_TRUE(at::equal(one.dweight, two.dweight));
  EXPECT_TRUE(at::equal(one.dbias, two.dbias));
}

// x + addend of every exponent and both signs, ties among them, rounds as torch rounds.
TEST(Bfloat16BatchNorm, RoundsToTheNearestEven) {
  const at::Tensor bits = at::arange(0, 65536, at::kInt).to(at::kShort).view({512, 128});
  at::Tensor x = bits.view(at::kBFloat16);
  x = at::where(x.isfinite(), x, at::zeros_like(x));
  const at::Tensor zero = at::zeros({128}, at::kDouble), one = at::ones({128}, at::kDouble);
  EXPECT_TRUE(at::equal(bfloat16_normalize(x, zero, one, {}, {}, {}, false), x));
  EXPECT_TRUE(at::equal(bfloat16_normalize(x, zero, one, {}, {}, {}, true), at::relu(x)));
  for (const double part : {1.0 / 256, 1.0 / 512, 3.0 / 512, -1.0 / 512, 5.0 / 1024}) {
    const at::Tensor addend = (x.to(at::kFloat) * part).to(at::kBFloat16);
    const at::Tensor expected = (x.to(at::kFloat) + addend.to(at::kFloat)).to(at::kBFloat16);
    EXPECT_TRUE(at::equal(bfloat16_normalize(x, zero, one, {}, {}, addend, false), expected));
  }
}

TEST(Bfloat16BatchNorm, WhatIsNoNumberStaysNone) {
  const auto none = std::numeric_limits<double>::quiet_NaN();
  for (const bool relu : {true, false}) {
    at::Tensor x = values({4, 20}, 0.1);
    x[2][7] = none;
    const at::Tensor mean = at::zeros({20}, at::kDouble), inverse = at::ones({20}, at::kDouble);
    const at::Tensor y = bfloat16_normalize(x, mean, inverse, {}, {}, {}, relu);
    EXPECT_TRUE(at::equal(y.isnan(), x.isnan()));
    EXPECT_TRUE(std::isnan(bfloat16_moments(x)[7].item<double>()));
    const at::Tensor sums =
        bfloat16_gradient_sums(values({4, 20}, 1), x, relu ? y : at::Tensor(), mean, inverse);
    EXPECT_TRUE(at::equal(sums[1].isnan(), x.isnan()[2]));
    EXPECT_FALSE(sums[0].isnan().any().item<bool>());
  }
}

TEST(Bfloat16BatchNorm, NoRows) {
  for (const Shape& shape : {Shape{0, 3}, Shape{0, 3, 4, 4}}) {
    const at::Tensor x = at::zeros(shape, at::kBFloat16);
    const at::Tensor mean = at::zeros({3}, at::kDouble), sums = at::zeros({2, 3}, at::kDouble);
    EXPECT_TRUE(at::equal(bfloat16_moments(x), at::zeros({7}, at::kDouble)));
    EXPECT_EQ(bfloat16_normalize(x, mean, mean, {}, {}, x, true).sizes(), x.sizes());
    EXPECT_TRUE(at::equal(bfloat16_gradient_sums(x, x, x, mean, mean), sums));
    EXPECT_EQ(bfloat16_input_gradient(x, x, x, mean, mean, {}, sums).sizes(), x.sizes());
  }
}

TEST(Bfloat16BatchNorm, RefusesOtherTypesAndShapes) {
  const at::Tensor mean = at::zeros({3}, at::kDouble), x = values({4, 3}, 0.1);
  EXPECT_THROW(bfloat16_moments(at::zeros({4, 3})), c10::Error);
  EXPECT_THROW(bfloat16_moments(values({3}, 0.1)), c10::Error);
  EXPECT_THROW(bfloat16_normalize(x, mean, mean, {}, {}, values({5, 3}, 0.1), true), c10::Error);
  EXPECT_THROW(bfloat16_normalize(x, mean, mean, {}, {}, x.to(at::kFloat), true), c10::Error);
}

}  // namespace
}  // namespace cltrain
