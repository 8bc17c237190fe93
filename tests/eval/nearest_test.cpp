// The three searches against loops, and against each other. Whole numbers make products exact, so
// that similarities tie often and the order among equals is put to the test.
#include "eval/nearest.h"

#include "ops/keyed_random.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

/// Rows of whole numbers from -range to range.
at::Tensor whole_numbers(int64_t rows, int64_t width, int64_t range, uint64_t site) {
  at::Tensor tensor = at::empty({rows, width}, at::kFloat);
  KeyedStream draws(random_key(5, Purpose::kAugmentation, 0), site, 0, 0);
  auto* to = tensor.mutable_data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i)
    *to++ = static_cast<float>(static_cast<int64_t>(draws.below(2 * range + 1)) - range);
  return tensor;
}

Neighbours by_loops(const at::Tensor& base, const at::Tensor& queries, int64_t k) {
  const double none = -std::numeric_limits<double>::infinity();
  Neighbours found{at::full({queries.size(0), k}, none, at::kFloat),
                   at::full({queries.size(0), k}, -1, at::kLong)};
  const int64_t width = base.size(1);
  for (int64_t q = 0; q < queries.size(0); ++q) {
    std::vector<std::pair<double, int64_t>> order;  // (-similarity, position)
    for (int64_t row = 0; row < base.size(0); ++row) {
      double sum = 0;
      for (int64_t d = 0; d < width; ++d)
        sum += static_cast<double>(base.const_data_ptr<float>()[row * width + d]) *
               queries.const_data_ptr<float>()[q * width + d];
      order.emplace_back(-sum, row);
    }
    std::sort(order.begin(), order.end());
    for (int64_t j = 0; j < std::min<int64_t>(k, base.size(0)); ++j) {
      found.similarity.mutable_data_ptr<float>()[q * k + j] = static_cast<float>(-order[j].first);
      found.position.mutable_data_ptr<int64_t>()[q * k + j] = order[j].second;
    }
  }
  return found;
}

void expect_equal(const Neighbours& found, const Neighbours& expected) {
  EXPECT_TRUE(at::equal(found.similarity, expected.similarity));
  EXPECT_TRUE(at::equal(found.position, expected.position));
}

struct Shape {
  int64_t base, queries, width, k, range;
};

class Search : public ::testing::TestWithParam<Shape> {};

TEST_P(Search, TilesAndTopkAreTheLoopsTiesIncluded) {
  const Shape s = GetParam();
  const at::Tensor base = whole_numbers(s.base, s.width, s.range, 0);
  const at::Tensor queries = whole_numbers(s.queries, s.width, s.range, 1);
  const Neighbours expected = by_loops(base, queries, s.k);
  expect_equal(TiledBase(base).search(queries, s.k), expected);
  expect_equal(nearest_by_topk(base, queries, s.k), expected);
  expect_equal(nearest_by_topk(base, queries, s.k, 37), expected);
}

TEST_P(Search, FaissAgreesButForTiesAtTheLastPlace) {
  const Shape s = GetParam();
  const at::Tensor base = whole_numbers(s.base, s.width, s.range, 0);
  const at::Tensor queries = whole_numbers(s.queries, s.width, s.range, 1);
  const Neighbours tiles = TiledBase(base).search(queries, s.k);
  const Neighbours faiss = nearest_by_faiss(base, queries, s.k);
  ASSERT_TRUE(at::equal(tiles.similarity, faiss.similarity));
  const at::Tensor last = tiles.similarity.select(1, s.k - 1).unsqueeze(1);
  const at::Tensor sure = tiles.similarity > last;
  EXPECT_TRUE(at::equal(tiles.position.masked_select(sure), faiss.position.masked_select(sure)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, Search,
                         ::testing::Values(Shape{1, 1, 1, 1, 2}, Shape{47, 3, 5, 10, 2},
                                           Shape{48, 9, 16, 48, 1}, Shape{500, 130, 7, 1, 3},
                                           Shape{700, 33, 24, 64, 1}, Shape{20, 5, 3, 33, 2},
                                           Shape{1500, 40, 8, 200, 4}));

TEST(Nearest, RealVectorsGiveTheSameNeighboursInAllThree) {
  at::manual_seed(3);
  const at::Tensor base = at::randn({2000, 64}), queries = at::randn({150, 64});
  const Neighbours tiles = TiledBase(base).search(queries, 20);
  for (const Neighbours& other :
       {nearest_by_topk(base, queries, 20, 512), nearest_by_faiss(base, queries, 20)}) {
    EXPECT_TRUE(at::equal(tiles.position, other.position));
    EXPECT_TRUE(at::allclose(tiles.similarity, other.similarity, 1e-5, 1e-5));
  }
}

TEST(Nearest, BitsDependNeitherOnThreadsNorOnTheOtherQueriesOrRows) {
  at::manual_seed(4);
  const at::Tensor base = at::randn({1000, 37}), queries = at::randn({301, 37});
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const Neighbours one = TiledBase(base).search(queries, 9);
  at::set_num_threads(3);
  expect_equal(TiledBase(base).search(queries, 9), one);
  at::set_num_threads(before);
  const Neighbours few = TiledBase(base).search(queries.narrow(0, 100, 3), 9);
  expect_equal(few, {one.similarity.narrow(0, 100, 3), one.position.narrow(0, 100, 3)});
  // The base cut in two, as over ranks: the best of both parts are the best of all.
  const Neighbours left = TiledBase(base.narrow(0, 0, 333)).search(queries, 9);
  const Neighbours right = TiledBase(base.narrow(0, 333, 667)).search(queries, 9);
  const at::Tensor both = at::cat({left.similarity, right.similarity}, 1);
  EXPECT_TRUE(at::equal(std::get<0>(both.topk(9, 1)), one.similarity));
}

TEST(Nearest, WhatIsNotANumberIsNoNeighbour) {
  at::Tensor base = at::ones({60, 4}), queries = at::ones({2, 4});
  base.select(0, 7).fill_(std::numeric_limits<float>::quiet_NaN());
  queries.select(0, 1).fill_(std::numeric_limits<float>::quiet_NaN());
  for (const Neighbours& found :
       {TiledBase(base).search(queries, 60), nearest_by_topk(base, queries, 60, 16)}) {
    EXPECT_FALSE((found.position.select(0, 0) == 7).any().item<bool>());
    EXPECT_EQ(found.position[0][58].item<int64_t>(), 59);
    EXPECT_EQ(found.position[0][59].item<int64_t>(), -1);
    EXPECT_TRUE((found.position.select(0, 1) == -1).all().item<bool>());
  }
}

TEST(Nearest, NegativeSimilaritiesAndZerosAreInOrder) {
  const at::Tensor base = at::tensor({-1.0f, 0.0f, 2.0f, -0.0f, -3.0f}).view({5, 1});
  const at::Tensor query = at::ones({1, 1});
  const at::Tensor expected = at::tensor({2, 1, 3, 0, 4}, at::kLong).view({1, 5});
  EXPECT_TRUE(at::equal(TiledBase(base).search(query, 5).position, expected));
  EXPECT_TRUE(at::equal(nearest_by_topk(base, query, 5).position, expected));
}

TEST(Nearest, NoRowsAndNoQueries) {
  const at::Tensor none = at::zeros({0, 3}), some = at::ones({2, 3});
  EXPECT_TRUE((TiledBase(none).search(some, 4).position == -1).all().item<bool>());
  EXPECT_TRUE((nearest_by_topk(none, some, 4).position == -1).all().item<bool>());
  EXPECT_EQ(TiledBase(some).search(none, 4).position.sizes(), (std::vector<int64_t>{0, 4}));
  EXPECT_EQ(nearest_by_topk(some, none, 4).position.sizes(), (std::vector<int64_t>{0, 4}));
}

TEST(Nearest, RefusesShapesThatDoNotFit) {
  const at::Tensor base = at::ones({4, 3});
  EXPECT_THROW(TiledBase(base.to(at::kDouble)), c10::Error);
  EXPECT_THROW(TiledBase(base.view(-1)), c10::Error);
  EXPECT_THROW(TiledBase(base).search(at::ones({1, 2}), 1), c10::Error);
  EXPECT_THROW(TiledBase(base).search(base, 0), c10::Error);
  EXPECT_THROW(nearest_by_topk(base, at::ones({1, 2}), 1), c10::Error);
  EXPECT_THROW(nearest_by_faiss(base, at::ones({1, 2}), 1), c10::Error);
}

}  // namespace
}  // namespace cltrain
