// Rows as tokens, and their dropout against that of padded rows.
#include "ops/dropout.h"
#include "tests/models/values.h"
#include "tests/ops/token_cases.h"

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::sample_items;
using testing::some_dropout;
using testing::values;

std::vector<int64_t> numbers(const at::Tensor& x) {
  return {x.const_data_ptr<int64_t>(), x.const_data_ptr<int64_t>() + x.numel()};
}

TEST(TokenRows, KeepsEachRowFromItsFirstItemOn) {
  const TokenRows rows = ragged_rows(testing::left_padded({{5, 6}, {}, {7, 0, 0}, {0, 0, 8}}, 4));
  EXPECT_EQ(numbers(rows.row_offsets), (std::vector<int64_t>{0, 2, 6, 9, 10}));
  EXPECT_EQ(numbers(rows.ids), (std::vector<int64_t>{5, 6, 0, 0, 0, 0, 7, 0, 0, 8}));
  EXPECT_EQ(numbers(rows.slots), (std::vector<int64_t>{2, 3, 0, 1, 2, 3, 1, 2, 3, 3}));
  EXPECT_EQ(numbers(rows.places), (std::vector<int64_t>{2, 3, 4, 5, 6, 7, 9, 10, 11, 15}));
  EXPECT_FALSE(rows.whole());
  EXPECT_EQ(rows.length, 4);
}

TEST(TokenRows, WholeRowsKeepEverySlot) {
  const at::Tensor items = sample_items();
  const TokenRows rows = whole_rows(items);
  EXPECT_TRUE(at::equal(rows.ids, items.flatten()));
  EXPECT_TRUE(at::equal(rows.places, at::arange(items.numel(), at::kLong)));
  EXPECT_TRUE(rows.whole());
}

TEST(TokenRows, LastPaddedAndMeanAreThoseOfTheDenseForm) {
  const TokenRows ragged = ragged_rows(sample_items()), whole = whole_rows(sample_items());
  at::Tensor dense = values({6, 12, 5}, 0.2, at::kDouble);
  const at::Tensor tokens = testing::kept_tokens(dense.flatten(0, 1), ragged);
  EXPECT_TRUE(at::equal(last_of_rows(tokens, ragged), dense.select(1, 11)));
  const std::vector<int64_t> first = {9, 6, 10, 0, 0, 11};
  at::Tensor mean = at::zeros({6, 5}, at::kDouble), padded = dense.clone();
  for (int64_t row = 0; row < 6; ++row) {
    mean[row] = dense[row].slice(0, first[row]).mean(0);
    padded[row].slice(0, 0, first[row]).zero_();
  }
  EXPECT_TRUE(at::equal(to_padded(tokens, ragged), padded));
  EXPECT_TRUE(at::allclose(mean_of_rows(tokens, ragged), mean, 1e-14, 1e-14));
  EXPECT_TRUE(at::allclose(mean_of_rows(dense.flatten(0, 1), whole), mean, 1e-14, 1e-14));
  EXPECT_TRUE(at::equal(to_padded(dense.flatten(0, 1), whole), dense));
}

TEST(TokenRows, GradientsReachTheTokensThatAreRead) {
  const TokenRows rows = ragged_rows(sample_items());
  const at::Tensor tokens = values({rows.tokens(), 3}, 0.4, at::kDouble).requires_grad_();
  const at::Tensor upstream = values({6, 12, 3}, 1.7, at::kDouble);
  to_padded(tokens, rows).backward(upstream);
  EXPECT_TRUE(at::equal(tokens.grad(), testing::kept_tokens(upstream.flatten(0, 1), rows)));
}

TEST(TokenRows, NoRows) {
  for (const TokenRows& rows :
       {ragged_rows(at::zeros({0, 7}, at::kLong)), whole_rows(at::zeros({0, 7}, at::kLong))}) {
    EXPECT_EQ(rows.rows(), 0);
    const at::Tensor tokens = at::zeros({0, 3}, at::kFloat).requires_grad_();
    EXPECT_EQ(to_padded(tokens, rows).sizes(), (std::vector<int64_t>{0, 7, 3}));
    EXPECT_EQ(last_of_rows(tokens, rows).sizes(), (std::vector<int64_t>{0, 3}));
    EXPECT_EQ(mean_of_rows(tokens, rows).sizes(), (std::vector<int64_t>{0, 3}));
    EXPECT_EQ(token_dropout(tokens, rows, some_dropout(rows, 0.5, 0)).sizes(),
              (std::vector<int64_t>{0, 3}));
  }
}

TEST(TokenRows, RefusesWhatAreNoRows) {
  EXPECT_THROW(ragged_rows(at::zeros({3, 0}, at::kLong)), c10::Error);
  EXPECT_THROW(ragged_rows(at::zeros({3}, at::kLong)), c10::Error);
  EXPECT_THROW(ragged_rows(at::zeros({3, 4}, at::kFloat)), c10::Error);
  EXPECT_THROW(whole_rows(at::full({1, 4}, -1, at::kLong)), c10::Error);
}

// Widths that are no multiple of a Philox block's four words, too.
TEST(TokenDropout, IsThePaddedRowsDropout) {
  for (const int64_t channels : {1, 3, 16, 64, 70})
    for (const double p : {0.1, 0.5}) {
      const TokenRows ragged = ragged_rows(sample_items()), whole = whole_rows(sample_items());
      const at::Tensor x = values({6 * 12, channels}, 0.3, at::kDouble);
      const TokenDropout dropout = some_dropout(whole, p, 9);
      const at::Tensor expected =
          keyed_dropout(x.view({6, -1}), dropout.sample_ids, p, dropout.key, 1, 9).view_as(x);
      EXPECT_TRUE(at::equal(token_dropout(x, whole, dropout), expected)) << channels;
      EXPECT_TRUE(at::equal(token_dropout(testing::kept_tokens(x, ragged), ragged, dropout),
                            testing::kept_tokens(expected, ragged)))
          << channels;
    }
}

TEST(TokenDropout, SplitsOfTheBatchChangeNothing) {
  const at::Tensor items = sample_items();
  const TokenRows all = ragged_rows(items);
  const at::Tensor x = values({all.tokens(), 64}, 0.3, at::kFloat);
  TokenDropout dropout = some_dropout(all, 0.5, 2);
  const at::Tensor together = token_dropout(x, all, dropout), ids = dropout.sample_ids;
  for (int64_t row = 0; row < 6; ++row) {
    const TokenRows one = ragged_rows(items.slice(0, row, row + 1));
    dropout.sample_ids = ids.slice(0, row, row + 1);
    const auto offset = numbers(all.row_offsets);
    EXPECT_TRUE(at::equal(token_dropout(x.slice(0, offset[row], offset[row + 1]), one, dropout),
                          together.slice(0, offset[row], offset[row + 1])));
  }
}

TEST(TokenDropout, RefusesWhatDoesNotFit) {
  const TokenRows rows = ragged_rows(sample_items());
  const at::Tensor x = values({rows.tokens(), 4}, 0.3, at::kFloat);
  for (const double p : {-0.1, 1.0})
    EXPECT_THROW(token_dropout(x, rows, some_dropout(rows, p, 0)), c10::Error);
  TokenDropout dropout = some_dropout(rows, 0.5, 4096);
  EXPECT_THROW(token_dropout(x, rows, dropout), c10::Error);
  dropout.site = 0;
  dropout.sample_ids = at::arange(5, at::kLong);
  EXPECT_THROW(token_dropout(x, rows, dropout), c10::Error);
}

}  // namespace
}  // namespace cltrain
