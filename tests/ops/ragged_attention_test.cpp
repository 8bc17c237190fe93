// Attention of tokens against the formula in float64 on dense rows with an additive mask, finite
// differences, and its invariances.
#include "ops/ragged_attention.h"

#include "tests/models/values.h"
#include "tests/ops/token_cases.h"

#include <cmath>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::kept_tokens;
using testing::sample_items;
using testing::some_dropout;
using testing::values;

constexpr int64_t kHeads = 2;

/// Padded rows as implementations of SASRec have them: -1e4 where the key is padding or later.
/// factors [B, heads, L, L] multiply the weights.
at::Tensor dense_attention(const at::Tensor& qkv, const at::Tensor& items,
                           const at::Tensor& factors) {
  const int64_t rows = items.size(0), length = items.size(1), dim = qkv.size(1) / 3;
  const auto parts =
      qkv.view({rows, length, 3, kHeads, dim / kHeads}).permute({2, 0, 3, 1, 4}).unbind();
  const at::Tensor seen = at::ones({length, length}, at::kBool)
                              .tril()
                              .logical_and(items.ne(0).view({rows, 1, 1, length}));
  const at::Tensor scores =
      at::matmul(parts[0], parts[1].transpose(2, 3)) / std::sqrt(double(dim / kHeads)) -
      1e4 * seen.logical_not().to(at::kDouble);
  return at::matmul(scores.softmax(-1) * factors, parts[2])
      .transpose(1, 2)
      .reshape({rows * length, dim});
}

/// 1 / (1 - p) or 0, one word at a time.
at::Tensor plain_factors(const TokenDropout& dropout, int64_t rows, int64_t length) {
  at::Tensor factors = at::ones({rows, kHeads * length * length}, at::kDouble);
  auto out = factors.accessor<double, 2>();
  for (int64_t row = 0; row < rows && dropout.probability > 0; ++row) {
    const auto id = static_cast<uint64_t>(dropout.sample_ids[row].item<int64_t>());
    for (int64_t e = 0; e < factors.size(1); ++e) {
      const PhiloxBlock words = philox4x32_10(
          random_counter(id, dropout.view, dropout.site, static_cast<uint64_t>(e / 4)),
          dropout.key);
      out[row][e] = uniform24(words.word[e % 4]) < dropout.probability ? 0 : dropout.scale();
    }
  }
  return factors.view({rows, kHeads, length, length});
}

void expect_near(const at::Tensor& found, const at::Tensor& expected, double tolerance) {
  ASSERT_EQ(found.sizes(), expected.sizes());
  EXPECT_LT((found.to(at::kDouble) - expected).abs().max().item<double>(),
            tolerance * expected.abs().max().item<double>());
}

void expect_dense_formula(const at::Tensor& items, int64_t dim, double p, at::ScalarType type,
                          double tolerance) {
  SCOPED_TRACE(::testing::Message() << "d " << dim << ", L " << items.size(1) << ", p " << p);
  const testing::WithThreads threads(1);  // tiny operators wait for their threads otherwise
  const int64_t count = items.numel();
  const at::Tensor start = values({count, 3 * dim}, 0.4, at::kDouble) * 2;
  const at::Tensor upstream = values({count, dim}, 1.1, at::kDouble);
  for (const TokenRows& rows : {ragged_rows(items), whole_rows(items)}) {
    const TokenDropout dropout = some_dropout(rows, p, 4);
    const at::Tensor factors = plain_factors(dropout, items.size(0), items.size(1));
    const at::Tensor reference = start.clone().requires_grad_();
    const at::Tensor expected = kept_tokens(dense_attention(reference, items, factors), rows);
    expected.backward(kept_tokens(upstream, rows));
    const at::Tensor x = kept_tokens(start, rows).to(type).requires_grad_();
    for (const auto& attention : {ragged_attention, padded_attention}) {
      x.mutable_grad().reset();
      const at::Tensor y = attention(x, rows, kHeads, dropout);
      EXPECT_EQ(y.scalar_type(), type);
      expect_near(y.detach(), expected.detach(), tolerance);
      y.backward(kept_tokens(upstream, rows).to(type));
      expect_near(x.grad(), kept_tokens(reference.grad(), rows), tolerance);
    }
  }
}

TEST(RaggedAttention, IsTheDenseFormulaWithAnAdditiveMask) {
  for (const double p : {0.0, 0.3})
    for (const int64_t dim : {2, 6, 16, 64, 72}) {
      expect_dense_formula(sample_items(), dim, p, at::kDouble, 1e-11);
      expect_dense_formula(sample_items(), dim, p, at::kFloat, 2e-6);
    }
  expect_dense_formula(testing::many_items(40, 50, 9), 64, 0.1, at::kDouble, 1e-11);
  expect_dense_formula(testing::many_items(40, 50, 9), 64, 0.1, at::kFloat, 3e-6);
  expect_dense_formula(testing::many_items(40, 17, 9), 32, 0.5, at::kDouble, 1e-11);
}

TEST(RaggedAttention, GradientIsThatOfFiniteDifferences) {
  const TokenRows rows = ragged_rows(sample_items());
  const TokenDropout dropout = some_dropout(rows, 0.3, 4);
  const at::Tensor x = values({rows.tokens(), 12}, 0.4, at::kDouble).requires_grad_();
  const at::Tensor upstream = values({rows.tokens(), 4}, 1.1, at::kDouble);
  const auto loss = [&](const at::Tensor& at) {
    return (ragged_attention(at, rows, kHeads, dropout) * upstream).sum();
  };
  loss(x).backward();
  constexpr double kStep = 1e-5;
  for (int64_t e = 0; e < x.numel(); e += 7) {
    at::Tensor up = x.detach().clone(), down = x.detach().clone();
    up.view(-1)[e] += kStep;
    down.view(-1)[e] -= kStep;
    const double slope = (loss(up) - loss(down)).item<double>() / (2 * kStep);
    EXPECT_NEAR(x.grad().view(-1)[e].item<double>(), slope, 1e-9) << e;
  }
}

TEST(RaggedAttention, LargeScoresNeitherOverflowNorVanish) {
  const TokenRows rows = ragged_rows(sample_items());
  for (const double size : {100.0, 3000.0}) {
    const at::Tensor x = values({rows.tokens(), 192}, 0.4, at::kFloat) * size;
    const at::Tensor y = ragged_attention(x, rows, kHeads, {});
    EXPECT_TRUE(y.isfinite().all().item<bool>());
    EXPECT_TRUE(at::allclose(y, padded_attention(x, rows, kHeads, {}), 1e-3, 1e-2 * size));
  }
}

TEST(RaggedAttention, ThreadsAndSplitsChangeNoBit) {
  const at::Tensor items = testing::many_items(64, 50, 30);
  const TokenRows rows = ragged_rows(items);
  TokenDropout dropout = some_dropout(rows, 0.3, 4);
  const auto run = [&](const at::Tensor& x, const TokenRows& part) {
    const at::Tensor in = x.detach().clone().requires_grad_();
    const at::Tensor y = ragged_attention(in, part, kHeads, dropout);
    y.backward(values(y.sizes(), 0.1, at::kFloat) * 0 + y.detach());
    return std::pair(y.detach(), in.grad());
  };
  const at::Tensor x = values({rows.tokens(), 192}, 0.4, at::kFloat);
  std::pair<at::Tensor, at::Tensor> one, two;
  {
    const testing::WithThreads threads(1);
    one = run(x, rows);
  }
  {
    const testing::WithThreads threads(2);
    two = run(x, rows);
  }
  EXPECT_TRUE(at::equal(one.first, two.first));
  EXPECT_TRUE(at::equal(one.second, two.second));
  const int64_t begin = rows.row_offsets[23].item<int64_t>();
  dropout.sample_ids = dropout.sample_ids.slice(0, 23);
  const auto part = run(x.slice(0, begin), ragged_rows(items.slice(0, 23)));
  EXPECT_TRUE(at::equal(part.first, one.first.slice(0, begin)));
  EXPECT_TRUE(at::equal(part.second, one.second.slice(0, begin)));
}

TEST(RaggedAttention, NoRowsAndHalfTypes) {
  const TokenRows none = ragged_rows(at::zeros({0, 7}, at::kLong));
  const at::Tensor x = at::zeros({0, 12}, at::kFloat).requires_grad_();
  const at::Tensor y = ragged_attention(x, none, kHeads, some_dropout(none, 0.5, 0));
  EXPECT_EQ(y.sizes(), (std::vector<int64_t>{0, 4}));
  y.sum().backward();
  EXPECT_TRUE(x.grad().defined());
  const TokenRows rows = ragged_rows(sample_items());
  const at::Tensor half = values({rows.tokens(), 12}, 0.4, at::kBFloat16).requires_grad_();
  const at::Tensor wide = ragged_attention(half, rows, kHeads, {});
  EXPECT_EQ(wide.scalar_type(), at::kFloat);
  wide.sum().backward();
  EXPECT_EQ(half.grad().scalar_type(), at::kBFloat16);
}

TEST(RaggedAttention, RefusesWhatDoesNotFit) {
  const TokenRows rows = ragged_rows(sample_items());
  EXPECT_THROW(ragged_attention(at::zeros({rows.tokens(), 15}), rows, kHeads, {}), c10::Error);
  EXPECT_THROW(ragged_attention(at::zeros({3, 12}), rows, kHeads, {}), c10::Error);
  EXPECT_THROW(ragged_attention(at::zeros({rows.tokens(), 12}), rows, 0, {}), c10::Error);
  EXPECT_THROW(
      ragged_attention(at::zeros({rows.tokens(), 12}), rows, kHeads, some_dropout(rows, 1.0, 0)),
      c10::Error);
}

}  // namespace
}  // namespace cltrain
