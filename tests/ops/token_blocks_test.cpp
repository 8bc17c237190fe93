// The fused blocks against the same formulas written with LibTorch's operators: values and every
// gradient, float64 and float32, widths that fill no vector, several chunks; and their invariances.
#include "ops/token_blocks.h"

#include "tests/models/values.h"
#include "tests/ops/token_cases.h"

#include <functional>

#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::many_items;
using testing::sample_items;
using testing::some_dropout;
using testing::values;

/// A block as a function of all tensors that it differentiates.
struct Case {
  std::string name;
  std::vector<at::Tensor> inputs;
  std::function<at::Tensor(const std::vector<at::Tensor>&, const TokenRows&, const TokenDropout&)>
      block, reference;
};

std::vector<Case> cases(const TokenRows& rows, int64_t width, int64_t inner) {
  const int64_t tokens = rows.tokens();
  const auto made = [](at::IntArrayRef shape, double phase) {
    return values(shape, phase, at::kDouble);
  };
  const at::Tensor x = made({tokens, width}, 0.1), other = made({tokens, inner}, 0.2),
                   wide = made({inner, width}, 0.3) * 0.4, wide_bias = made({inner}, 0.4),
                   back = made({width, inner}, 0.5) * 0.4, back_bias = made({width}, 0.6),
                   norm = 1 + 0.3 * made({width}, 0.7), norm_bias = made({width}, 0.8);
  constexpr double kEpsilon = 1e-12;
  const auto dense = [=](auto function, Activation activation) {
    return [=](const std::vector<at::Tensor>& t, const TokenRows& r, const TokenDropout& d) {
      return function(t[0], t[1], DenseWeights{t[2], t[3]}, activation,
                      NormWeights{t[4], t[5], kEpsilon}, r, d);
    };
  };
  const auto feed_forward = [=](auto function) {
    return [=](const std::vector<at::Tensor>& t, const TokenRows& r, const TokenDropout& d) {
      return function(t[0], DenseWeights{t[1], t[2]}, DenseWeights{t[3], t[4]},
                      NormWeights{t[5], t[6], kEpsilon}, r, d);
    };
  };
  const auto linear = [=](auto function) {
    return [=](const std::vector<at::Tensor>& t, const TokenRows&, const TokenDropout&) {
      return function(t[0], DenseWeights{t[1], t[2]});
    };
  };
  const auto embedding = [=](auto function) {
    return [=](const std::vector<at::Tensor>& t, const TokenRows& r, const TokenDropout& d) {
      return function(r, t[0], t[1], NormWeights{t[2], t[3], kEpsilon}, d);
    };
  };
  const std::vector<at::Tensor> dense_inputs = {other, x, back, back_bias, norm, norm_bias};
  return {{"linear", {x, wide, wide_bias}, linear(token_linear), linear(composed::token_linear)},
          {"narrowing linear",
           {other, back, back_bias},
           linear(token_linear),
           linear(composed::token_linear)},
          {"dense", dense_inputs, dense(dense_block, Activation::kNone),
           dense(composed::dense_block, Activation::kNone)},
          {"dense with GELU", dense_inputs, dense(dense_block, Activation::kGelu),
           dense(composed::dense_block, Activation::kGelu)},
          {"feed-forward",
           {x, wide, wide_bias, back, back_bias, norm, norm_bias},
           feed_forward(feed_forward_block),
           feed_forward(composed::feed_forward_block)},
          {"embedding",
           {made({23, width}, 0.9), made({rows.length, width}, 1.0), norm, norm_bias},
           embedding(embedding_block),
           embedding(composed::embedding_block)}};
}

using Block = decltype(Case::block);

/// The result and the gradients of its product with numbers without a pattern.
std::vector<at::Tensor> results(const Block& block, const std::vector<at::Tensor>& inputs,
                                at::ScalarType type, const TokenRows& rows,
                                const TokenDropout& dropout) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& input : inputs)
    leaves.push_back(input.to(type).detach().clone().requires_grad_());
  const at::Tensor y = block(leaves, rows, dropout);
  y.backward(values(y.sizes(), 2.2, type));
  std::vector<at::Tensor> found = {y.detach()};
  for (const at::Tensor& leaf : leaves) found.push_back(leaf.grad());
  return found;
}

void expect_near(const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& expected,
                 double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_TRUE(found[i].defined()) << i;
    ASSERT_EQ(found[i].sizes(), expected[i].sizes()) << i;
    if (expected[i].numel() == 0) continue;
    EXPECT_LT((found[i].to(at::kDouble) - expected[i]).abs().max().item<double>(),
              tolerance * expected[i].abs().max().item<double>())
        << "tensor " << i;
  }
}

void expect_composed(const at::Tensor& items, int64_t width, int64_t inner) {
  const testing::WithThreads threads(1);  // tiny operators wait for their threads otherwise
  for (const TokenRows& rows : {ragged_rows(items), whole_rows(items)})
    for (const double p : {0.0, 0.3})
      for (const Case& c : cases(rows, width, inner)) {
        SCOPED_TRACE(::testing::Message() << c.name << ", " << width << " x " << inner << ", "
                                          << rows.tokens() << " tokens, p " << p);
        const TokenDropout dropout = some_dropout(rows, p, 3);
        const auto expected = results(c.reference, c.inputs, at::kDouble, rows, dropout);
        expect_near(results(c.block, c.inputs, at::kDouble, rows, dropout), expected, 1e-11);
        expect_near(results(c.block, c.inputs, at::kFloat, rows, dropout), expected, 2e-5);
      }
}

TEST(TokenBlocks, AreTheirFormulas) {
  for (const auto& [width, inner] :
       {std::pair(16, 64), std::pair(6, 5), std::pair(70, 33), std::pair(8, 8)})
    expect_composed(sample_items(), width, inner);
  expect_composed(many_items(40, 50, 22), 64, 256);
}

TEST(TokenBlocks, ThreadsChangeNoBit) {
  const TokenRows rows = whole_rows(many_items(40, 50, 22));
  const TokenDropout dropout = some_dropout(rows, 0.5, 3);
  for (const Case& c : cases(rows, 64, 256)) {
    std::vector<at::Tensor> one, two;
    {
      const testing::WithThreads threads(1);
      one = results(c.block, c.inputs, at::kFloat, rows, dropout);
    }
    {
      const testing::WithThreads threads(2);
      two = results(c.block, c.inputs, at::kFloat, rows, dropout);
    }
    for (size_t i = 0; i < one.size(); ++i)
      EXPECT_TRUE(at::equal(one[i], two[i])) << c.name << ", tensor " << i;
  }
}

TEST(TokenBlocks, WithoutGradientsTheResultIsTheSame) {
  const TokenRows rows = ragged_rows(many_items(9, 50, 22));
  const TokenDropout dropout = some_dropout(rows, 0.5, 3);
  for (const Case& c : cases(rows, 64, 256)) {
    const at::Tensor expected = c.block(c.inputs, rows, dropout);
    const c10::NoGradGuard guard;
    EXPECT_TRUE(at::equal(c.block(c.inputs, rows, dropout), expected)) << c.name;
  }
}

TEST(TokenBlocks, GeluOfFloatsIsExactToTheirRounding) {
  // Through a dense block's backward pass too: GELU' is the gradient of its bias, one token each.
  const TokenRows rows = whole_rows(at::ones({1, 1}, at::kLong));
  const auto gelu_of = [&](const at::Tensor& bias) {
    const int64_t width = bias.size(0);
    return feed_forward_block(
        at::zeros({1, width}, bias.options()), {at::zeros({width, width}, bias.options()), bias},
        {at::eye(width, bias.options()), at::zeros({width}, bias.options())},
        {at::ones({width}, bias.options()), at::zeros({width}, bias.options()), 1e-12}, rows, {});
  };
  const at::Tensor x = at::linspace(-8, 8, 1001, at::kDouble);
  EXPECT_LT((gelu_of(x.to(at::kFloat)) - gelu_of(x)).abs().max().item<double>(), 2e-6);
  const at::Tensor huge = at::full({2}, -1e30, at::kFloat);
  EXPECT_TRUE(gelu_of(huge).isfinite().all().item<bool>());
}

TEST(TokenBlocks, NoTokens) {
  const TokenRows rows = ragged_rows(at::zeros({0, 12}, at::kLong));
  for (const Case& c : cases(rows, 16, 64)) {
    SCOPED_TRACE(c.name);
    const auto found = results(c.block, c.inputs, at::kFloat, rows, some_dropout(rows, 0.5, 3));
    EXPECT_EQ(found[0].size(0), 0);
    for (size_t i = 1; i < found.size(); ++i) {
      ASSERT_EQ(found[i].sizes(), c.inputs[i - 1].sizes());
      EXPECT_EQ(found[i].abs().sum().item<double>(), 0);
    }
  }
}

TEST(TokenBlocks, RefuseWhatDoesNotFit) {
  const TokenRows rows = ragged_rows(sample_items());
  const at::Tensor x = at::zeros({rows.tokens(), 4}), w = at::zeros({4, 4}), b = at::zeros({4});
  const NormWeights norm{at::ones({4}), b, 1e-12};
  EXPECT_THROW(token_linear(at::zeros({3, 5}), {w, b}), c10::Error);
  EXPECT_THROW(token_linear(x, {w, at::zeros({3})}), c10::Error);
  EXPECT_THROW(dense_block(at::zeros({3, 4}), x, {w, b}, Activation::kNone, norm, rows, {}),
               c10::Error);
  EXPECT_THROW(dense_block(x, x, {w, b}, Activation::kNone, {at::ones({5}), b, 1e-12}, rows, {}),
               c10::Error);
  EXPECT_THROW(feed_forward_block(x, {w, b}, {at::zeros({3, 4}), at::zeros({3})}, norm, rows, {}),
               c10::Error);
  EXPECT_THROW(embedding_block(rows, at::zeros({21, 4}), at::zeros({12, 4}), norm, {}), c10::Error);
  EXPECT_THROW(embedding_block(rows, at::zeros({22, 4}), at::zeros({11, 4}), norm, {}), c10::Error);
}

}  // namespace
}  // namespace cltrain
