// The pieces of batch norm, put together by hand, against ATen's batch norm and against plain
// loops.
#include "ops/batch_norm.h"

#include <cmath>
#include <tuple>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using Shape = std::vector<int64_t>;

at::Tensor values(const Shape& shape, at::ScalarType type, double phase) {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  const at::Tensor i = at::arange(count, at::kDouble);
  return ((i * 0.77 + phase).sin() + 0.3 * (i * 0.013 + phase).cos() + 0.2).to(type).view(shape);
}

/// Mean, sum of squared deviations and count of a channel, by loops in double.
std::vector<double> plain_moments(const at::Tensor& x) {
  const int64_t channels = x.size(1);
  const at::Tensor rows = x.to(at::kDouble).transpose(0, 1).reshape({channels, -1}).contiguous();
  std::vector<double> moments(2 * channels + 1, 0.0);
  for (int64_t c = 0; c < channels; ++c) {
    const auto* row = rows.const_data_ptr<double>() + c * rows.size(1);
    long double sum = 0, squares = 0;
    for (int64_t i = 0; i < rows.size(1); ++i) sum += row[i];
    const long double mean = sum / rows.size(1);
    for (int64_t i = 0; i < rows.size(1); ++i) squares += (row[i] - mean) * (row[i] - mean);
    moments[c] = static_cast<double>(mean);
    moments[channels + c] = static_cast<double>(squares);
  }
  moments.back() = static_cast<double>(rows.size(1));
  return moments;
}

void expect_moments(const at::Tensor& found, const std::vector<double>& expected, double mean_error,
                    double relative_squares_error) {
  ASSERT_EQ(found.scalar_type(), at::kDouble);
  ASSERT_EQ(found.numel(), static_cast<int64_t>(expected.size()));
  const int64_t channels = found.numel() / 2;
  for (int64_t c = 0; c < channels; ++c) {
    EXPECT_NEAR(found[c].item<double>(), expected[c], mean_error) << "mean of channel " << c;
    EXPECT_NEAR(found[channels + c].item<double>(), expected[channels + c],
                relative_squares_error * expected[channels + c] + 1e-300)
        << "squares of channel " << c;
  }
  EXPECT_EQ(found[2 * channels].item<double>(), expected.back());
}

struct Parts {
  at::Tensor y, dx, dweight, dbias;
};

Parts by_pieces(const at::Tensor& x, const at::Tensor& dy, const at::Tensor& weight,
                const at::Tensor& bias) {
  const int64_t channels = x.size(1);
  const at::Tensor moments = channel_moments(x);
  const at::Tensor mean = moments.narrow(0, 0, channels);
  const at::Tensor count = moments.narrow(0, 2 * channels, 1);
  const at::Tensor inverse = (moments.narrow(0, channels, channels) / count + 1e-5).rsqrt();
  const at::Tensor sums = channel_gradient_sums(dy, x, mean, inverse);
  return {channel_normalize(x, mean, inverse, weight, bias),
          channel_input_gradient(dy, x, mean, inverse, weight, sums / count), sums[1], sums[0]};
}

Parts by_aten(const at::Tensor& x, const at::Tensor& dy, const at::Tensor& weight,
              const at::Tensor& bias) {
  const auto [y, mean, inverse] = at::native_batch_norm(x, weight, bias, {}, {}, true, 0.1, 1e-5);
  const auto [dx, dweight, dbias] = at::native_batch_norm_backward(
      dy, x, weight, {}, {}, mean, inverse, true, 1e-5, {true, weight.defined(), bias.defined()});
  return {y, dx, dweight, dbias};
}

double largest_error(const at::Tensor& found, const at::Tensor& expected) {
  EXPECT_EQ(found.sizes(), expected.sizes());
  if (found.numel() == 0) return 0;
  return (found.to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>();
}

const std::vector<Shape> kShapes{{6, 3},        {2, 1},          {64, 5},
                                 {4, 3, 7},     {3, 5, 2, 3},    {2, 4, 8, 8},
                                 {1, 3, 7, 11}, {5, 2, 3, 3, 3}, {9, 33, 1, 1}};

TEST(BatchNormPieces, EqualATensInDouble) {
  for (const Shape& shape : kShapes)
    for (const bool affine : {true, false}) {
      SCOPED_TRACE(testing::PrintToString(shape));
      const at::Tensor x = values(shape, at::kDouble, 0.1), dy = values(shape, at::kDouble, 1.9);
      const at::Tensor weight = affine ? values({shape[1]}, at::kDouble, 2.5) : at::Tensor();
      const at::Tensor bias = affine ? values({shape[1]}, at::kDouble, 3.1) : at::Tensor();
      const Parts mine = by_pieces(x, dy, weight, bias), atens = by_aten(x, dy, weight, bias);
      EXPECT_LT(largest_error(mine.y, atens.y), 1e-12);
      EXPECT_LT(largest_error(mine.dx, atens.dx), 1e-12);
      if (!affine) continue;
      EXPECT_LT(largest_error(mine.dweight, atens.dweight), 1e-12 * x.numel());
      EXPECT_LT(largest_error(mine.dbias, atens.dbias), 1e-12 * x.numel());
    }
}

TEST(BatchNormPieces, EqualATensInFloat) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::PrintToString(shape));
    const at::Tensor x = values(shape, at::kFloat, 0.1), dy = values(shape, at::kFloat, 1.9);
    const at::Tensor weight = values({shape[1]}, at::kFloat, 2.5);
    const at::Tensor bias = values({shape[1]}, at::kFloat, 3.1);
    const Parts mine = by_pieces(x, dy, weight, bias);
    const Parts exact = by_aten(x.to(at::kDouble), dy.to(at::kDouble), weight.to(at::kDouble),
                                bias.to(at::kDouble));
    EXPECT_EQ(mine.y.scalar_type(), at::kFloat);
    EXPECT_EQ(mine.dx.scalar_type(), at::kFloat);
    EXPECT_LT(largest_error(mine.y, exact.y), 1e-5);
    EXPECT_LT(largest_error(mine.dx, exact.dx), 1e-5);
    EXPECT_LT(largest_error(mine.dweight, exact.dweight), 1e-5 * x.numel() / shape[1]);
    EXPECT_LT(largest_error(mine.dbias, exact.dbias), 1e-5 * x.numel() / shape[1]);
  }
}

TEST(BatchNormPieces, TakeStridedTensorsAndTwoThreads) {
  const Shape shape{8, 24, 12, 11};
  const at::Tensor x = values(shape, at::kFloat, 0.1), dy = values(shape, at::kFloat, 1.9);
  const at::Tensor weight = values({24}, at::kFloat, 2.5), bias = values({24}, at::kFloat, 3.1);
  at::set_num_threads(1);
  const Parts one = by_pieces(x, dy, weight, bias);
  at::set_num_threads(2);
  const Parts two = by_pieces(x.contiguous(at::MemoryFormat::ChannelsLast),
                              dy.contiguous(at::MemoryFormat::ChannelsLast), weight, bias);
  EXPECT_TRUE(at::equal(one.y, two.y));
  EXPECT_TRUE(at::equal(one.dx, two.dx));
  EXPECT_TRUE(at::equal(one.dweight, two.dweight));
  EXPECT_TRUE(at::equal(one.dbias, two.dbias));
}

TEST(BatchNormPieces, NoRowsGiveZeroSumsAndEmptyTensors) {
  for (const Shape& shape : {Shape{0, 3}, Shape{0, 3, 4, 4}}) {
    const at::Tensor x = at::zeros(shape, at::kFloat);
    EXPECT_TRUE(at::equal(channel_moments(x), at::zeros({7}, at::kDouble)));
    const at::Tensor mean = at::zeros({3}, at::kDouble), inverse = at::ones({3}, at::kDouble);
    EXPECT_TRUE(
        at::equal(channel_gradient_sums(x, x, mean, inverse), at::zeros({2, 3}, at::kDouble)));
    EXPECT_EQ(channel_normalize(x, mean, inverse, {}, {}).sizes(), x.sizes());
    const at::Tensor sums = at::zeros({2, 3}, at::kDouble);
    EXPECT_EQ(channel_input_gradient(x, x, mean, inverse, {}, sums).sizes(), x.sizes());
  }
}

TEST(ChannelMoments, OneValueHasNoSpread) {
  const at::Tensor x = at::tensor(std::vector<double>{3.7, -2.5}, at::kDouble).view({1, 2});
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const at::Tensor moments = channel_moments(x.to(type));
    EXPECT_NEAR(moments[0].item<double>(), 3.7, 1e-6);
    EXPECT_EQ(moments[2].item<double>(), 0.0);
    EXPECT_EQ(moments[3].item<double>(), 0.0);
    EXPECT_EQ(moments[4].item<double>(), 1.0);
  }
}

// At 1e6 a float32 resolves 1/16: the values below are exact, their sum of squares would not be.
TEST(ChannelMoments, NoCancellationAroundALargeMean) {
  for (const int64_t side : {1, 7, 56}) {
    const Shape shape{9, 3, side, side};
    const at::Tensor x = (values(shape, at::kDouble, 0.6) * 4 + 1e6).to(at::kFloat);
    expect_moments(channel_moments(x), plain_moments(x), 1e-3, 1e-5);
  }
}

TEST(MergeMoments, PartsGiveTheMomentsOfTheWhole) {
  for (const double offset : {0.0, 1e6}) {
    const at::Tensor x = (values({13, 3, 5, 5}, at::kDouble, 0.6) * 4 + offset).to(at::kFloat);
    std::vector<at::Tensor> parts;
    for (const auto& [begin, end] :
         {std::pair(0, 1), std::pair(1, 1), std::pair(1, 9), std::pair(9, 13)})
      parts.push_back(channel_moments(x.slice(0, begin, end)));
    expect_moments(merge_moments(at::stack(parts)), plain_moments(x), 1e-3, 1e-5);
  }
}

// The merge itself is exact to double's rounding, whatever the rows were.
TEST(MergeMoments, IsExactInDouble) {
  for (const double offset : {0.0, 1e6}) {
    const at::Tensor x = values({13, 2, 5}, at::kDouble, 0.6) + offset;
    std::vector<at::Tensor> parts;
    for (const auto& [begin, end] : {std::pair(0, 2), std::pair(2, 12), std::pair(12, 13)})
      parts.push_back(at::tensor(plain_moments(x.slice(0, begin, end)), at::kDouble));
    expect_moments(merge_moments(at::stack(parts)), plain_moments(x), 1e-15 * (1 + offset), 1e-9);
  }
}

TEST(MergeMoments, OnePartIsItselfAndNoRowsAreZero) {
  const at::Tensor x = values({4, 3, 2}, at::kDouble, 0.6), moments = channel_moments(x);
  EXPECT_TRUE(at::equal(merge_moments(moments.unsqueeze(0)), moments));
  const at::Tensor none = at::zeros({2, 7}, at::kDouble);
  EXPECT_TRUE(at::equal(merge_moments(none), none[0]));
}

TEST(ChannelMoments, RefusesAVector) {
  EXPECT_THROW(channel_moments(at::zeros({3})), c10::Error);
}

}  // namespace
}  // namespace cltrain
