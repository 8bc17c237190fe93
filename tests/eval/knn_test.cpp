// kNN accuracy against a brute-force loop in double.
#include "eval/knn.h"

#include "ops/keyed_random.h"
#include "tests/eval/one_rank.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

/// Clusters of `classes` random centres with noise around them; labels go round.
Features clusters(int64_t rows, int64_t width, int64_t classes, double noise, uint32_t view) {
  Features features{at::empty({rows, width}, at::kFloat), at::empty({rows}, at::kLong)};
  const PhiloxKey key = random_key(21, Purpose::kAugmentation, 0);
  auto* to = features.vectors.mutable_data_ptr<float>();
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t label = row % classes;
    features.labels[row] = label;
    KeyedStream centre(key, static_cast<uint64_t>(label), 0, 0);
    KeyedStream spread(key, static_cast<uint64_t>(row), view, 1);
    for (int64_t d = 0; d < width; ++d)
      *to++ = static_cast<float>(centre.normal() + noise * spread.normal());
  }
  return features;
}

std::vector<double> unit_row(const at::Tensor& vectors, int64_t row) {
  std::vector<double> values;
  double squares = 0;
  for (int64_t d = 0; d < vectors.size(1); ++d) {
    values.push_back(vectors.const_data_ptr<float>()[row * vectors.size(1) + d]);
    squares += values.back() * values.back();
  }
  for (double& value : values) value /= std::sqrt(squares);
  return values;
}

/// The share of queries whose heaviest class is theirs, by loops.
double brute_force(const Features& base, const Features& queries, int64_t classes, int64_t k,
                   double temperature) {
  std::vector<std::vector<double>> rows;
  for (int64_t row = 0; row < base.vectors.size(0); ++row)
    rows.push_back(unit_row(base.vectors, row));
  int64_t right = 0;
  for (int64_t q = 0; q < queries.vectors.size(0); ++q) {
    const std::vector<double> query = unit_row(queries.vectors, q);
    std::vector<std::pair<double, int64_t>> order;
    for (size_t row = 0; row < rows.size(); ++row) {
      double dot = 0;
      for (size_t d = 0; d < query.size(); ++d) dot += query[d] * rows[row][d];
      order.emplace_back(-dot, static_cast<int64_t>(row));
    }
    std::sort(order.begin(), order.end());
    std::vector<double> votes(static_cast<size_t>(classes), 0.0);
    for (size_t i = 0; i < std::min<size_t>(order.size(), static_cast<size_t>(k)); ++i)
      votes[base.labels[order[i].second].item<int64_t>()] +=
          std::exp(-order[i].first / temperature);
    const auto winner = std::max_element(votes.begin(), votes.end()) - votes.begin();
    right += winner == queries.labels[q].item<int64_t>();
  }
  return static_cast<double>(right) / static_cast<double>(queries.vectors.size(0));
}

TEST(KnnAccuracy, IsTheBruteForceLoops) {
  const auto alone = testing::one_rank();
  for (const double noise : {0.5, 2.0, 4.0})
    for (const int64_t k : {1, 5, 20}) {
      SCOPED_TRACE(::testing::Message() << "noise " << noise << ", k " << k);
      const Features base = clusters(300, 16, 7, noise, 0), queries = clusters(97, 16, 7, noise, 1);
      const KnnResult result = knn_accuracy(base, queries, 7, k, 0.1, *alone);
      EXPECT_EQ(result.queries, 97);
      EXPECT_NEAR(result.top1, brute_force(base, queries, 7, k, 0.1), 1e-12);
      if (noise == 0.5) {
        EXPECT_EQ(result.top1, 1.0);
      }
      if (noise == 4.0) {
        EXPECT_LT(result.top1, 0.95);
      }
    }
}

TEST(KnnAccuracy, MoreQueriesThanAreSearchedAtOnce) {
  const auto alone = testing::one_rank();
  const Features base = clusters(60, 4, 3, 1.5, 0), queries = clusters(2500, 4, 3, 1.5, 1);
  const KnnResult result = knn_accuracy(base, queries, 3, 9, 0.2, *alone);
  EXPECT_EQ(result.queries, 2500);
  EXPECT_NEAR(result.top1, brute_force(base, queries, 3, 9, 0.2), 1e-12);
}

TEST(KnnAccuracy, MoreNeighboursThanTheBaseHas) {
  const auto alone = testing::one_rank();
  const Features base = clusters(12, 8, 3, 1.5, 0), queries = clusters(50, 8, 3, 1.5, 1);
  EXPECT_NEAR(knn_accuracy(base, queries, 3, 200, 0.1, *alone).top1,
              brute_force(base, queries, 3, 200, 0.1), 1e-12);
}

TEST(KnnAccuracy, LengthsOfTheVectorsDoNotMatter) {
  const auto alone = testing::one_rank();
  Features base = clusters(90, 8, 3, 2, 0), queries = clusters(90, 8, 3, 2, 1);
  const double before = knn_accuracy(base, queries, 3, 5, 0.1, *alone).top1;
  base.vectors *= at::arange(1, 91, at::kFloat).unsqueeze(1);
  queries.vectors *= 1e-3;
  EXPECT_EQ(knn_accuracy(base, queries, 3, 5, 0.1, *alone).top1, before);
}

Features plane(std::vector<float> numbers, const std::vector<int64_t>& labels) {
  return {at::tensor(numbers).view({static_cast<int64_t>(labels.size()), 2}), at::tensor(labels)};
}

TEST(KnnAccuracy, TemperatureWeighsNearAgainstMany) {
  const auto alone = testing::one_rank();
  // One neighbour at cosine 1 of class 1, two at cosine 0.8 of class 0.
  const Features base = plane({1, 0, 0.8f, 0.6f, 0.8f, -0.6f}, {1, 0, 0});
  const Features query = plane({1, 0}, {1});
  EXPECT_EQ(knn_accuracy(base, query, 2, 3, 0.1, *alone).top1, 1.0);    // e^2 > 2
  EXPECT_EQ(knn_accuracy(base, query, 2, 3, 1.0, *alone).top1, 0.0);    // e^0.2 < 2
  EXPECT_EQ(knn_accuracy(base, query, 2, 3, 0.001, *alone).top1, 1.0);  // no overflow
}

TEST(KnnAccuracy, TiesGoToTheLowerClassAndTheEarlierRow) {
  const auto alone = testing::one_rank();
  const Features base = plane({1, 0, 1, 0}, {1, 0});
  EXPECT_EQ(knn_accuracy(base, plane({2, 0}, {0}), 2, 2, 0.1, *alone).top1, 1.0);
  EXPECT_EQ(knn_accuracy(base, plane({2, 0}, {1}), 2, 1, 0.1, *alone).top1, 1.0);
}

TEST(KnnAccuracy, TopFiveAndClassesAreCountedByVotes) {
  const auto alone = testing::one_rank();
  // Seven classes on a fan; from the query at angle 0, class c is the (c + 1)-th nearest.
  std::vector<float> fan;
  for (int c = 0; c < 7; ++c) {
    fan.push_back(std::cos(0.2f * static_cast<float>(c)));
    fan.push_back(std::sin(0.2f * static_cast<float>(c)));
  }
  const Features base = plane(fan, {0, 1, 2, 3, 4, 5, 6});
  const Features queries = plane({1, 0, 1, 0, 1, 0, 1, 0, 1, 0}, {0, 4, 5, 4, 0});
  const KnnResult result = knn_accuracy(base, queries, 7, 7, 0.1, *alone);
  EXPECT_DOUBLE_EQ(result.top1, 2.0 / 5);
  EXPECT_DOUBLE_EQ(result.top5, 4.0 / 5);
  ASSERT_EQ(result.classes.size(), 3u);  // classes without queries are absent
  EXPECT_EQ(result.classes[0].label, 0);
  EXPECT_EQ(result.classes[0].queries, 2);
  EXPECT_EQ(result.classes[0].top1, 1.0);
  EXPECT_EQ(result.classes[1].label, 4);
  EXPECT_EQ(result.classes[1].top1, 0.0);
  // Of three neighbours only three classes got a vote.
  EXPECT_DOUBLE_EQ(knn_accuracy(base, queries, 7, 3, 0.1, *alone).top5, 2.0 / 5);
}

TEST(KnnAccuracy, NoQueriesAreNoAccuracy) {
  const auto alone = testing::one_rank();
  const Features none{at::zeros({0, 2}), at::zeros({0}, at::kLong)};
  const KnnResult result = knn_accuracy(plane({1, 0}, {0}), none, 2, 1, 0.1, *alone);
  EXPECT_EQ(result.queries, 0);
  EXPECT_EQ(result.top1, 0.0);
  EXPECT_EQ(knn_accuracy(none, plane({1, 0}, {0}), 2, 1, 0.1, *alone).top1, 0.0);
}

TEST(KnnAccuracy, FeaturesThatAreNotNumbersAreNeverRight) {
  const auto alone = testing::one_rank();
  Features base = clusters(30, 4, 3, 1, 0), queries = clusters(30, 4, 3, 1, 1);
  queries.vectors.fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(knn_accuracy(base, queries, 3, 5, 0.1, *alone).top1, 0.0);
}

TEST(KnnAccuracy, RefusesLabelsOutsideTheClasses) {
  const auto alone = testing::one_rank();
  const Features good = plane({1, 0}, {1});
  for (const int64_t label : {-1, 2}) {
    EXPECT_THROW(knn_accuracy(plane({1, 0}, {label}), good, 2, 1, 0.1, *alone), c10::Error);
    EXPECT_THROW(knn_accuracy(good, plane({1, 0}, {label}), 2, 1, 0.1, *alone), c10::Error);
  }
}

}  // namespace
}  // namespace cltrain
