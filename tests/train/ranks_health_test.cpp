// The measures of health against plain loops over the whole batch, at any number of ranks.
#include "ops/keyed_random.h"
#include "support/ranks.h"
#include "train/health.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::all_ranks;
using testing::world;

constexpr int64_t kDim = 7;

/// [rows, kDim] of unit length, the same on every rank.
std::vector<std::vector<double>> unit_rows(int64_t rows, uint64_t seed) {
  std::vector<std::vector<double>> result;
  const PhiloxKey key = random_key(seed, Purpose::kInitialWeights, 0);
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<double> values;
    double square = 0;
    for (uint32_t i = 0; i < kDim; ++i) {
      const auto block = philox4x32_10(random_counter(static_cast<uint64_t>(row), 0, 0, i), key);
      values.push_back(static_cast<double>(block.word[0]) / 4294967296.0 - 0.4);
      square += values.back() * values.back();
    }
    for (double& value : values) value /= std::sqrt(square);
    result.push_back(values);
  }
  return result;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double total = 0;
  for (size_t i = 0; i < a.size(); ++i) total += a[i] * b[i];
  return total;
}

double square_distance(const std::vector<double>& a, const std::vector<double>& b) {
  double total = 0;
  for (size_t i = 0; i < a.size(); ++i) total += (a[i] - b[i]) * (a[i] - b[i]);
  return total;
}

/// The definitions of the header, word by word.
std::map<std::string, double> by_loops(const std::vector<std::vector<double>>& first,
                                       const std::vector<std::vector<double>>& second) {
  const size_t n = first.size();
  std::map<std::string, double> result;
  std::vector<std::vector<double>> all = first;
  all.insert(all.end(), second.begin(), second.end());
  for (size_t c = 0; c < kDim; ++c) {
    double mean = 0, square = 0;
    for (const auto& row : all) mean += row[c] / static_cast<double>(2 * n);
    for (const auto& row : all) square += (row[c] - mean) * (row[c] - mean);
    result["embedding_std"] += std::sqrt(square / static_cast<double>(2 * n)) / kDim;
  }
  for (const auto* view : {&first, &second}) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j)
        if (i != j) sum += std::exp(-2 * square_distance((*view)[i], (*view)[j]));
    result["uniformity"] += std::log(sum / static_cast<double>(n * (n - 1))) / 2;
  }
  for (size_t i = 0; i < n; ++i) {
    result["alignment"] += square_distance(first[i], second[i]) / static_cast<double>(n);
    result["positive_similarity"] += dot(first[i], second[i]) / static_cast<double>(n);
  }
  for (size_t i = 0; i < 2 * n; ++i) {
    double hardest = -2;
    for (size_t j = 0; j < 2 * n; ++j)
      if (j % n != i % n) hardest = std::max(hardest, dot(all[i], all[j]));
    result["hardest_negative_similarity"] += hardest / static_cast<double>(2 * n);
  }
  return result;
}

at::Tensor tensor_of(const std::vector<std::vector<double>>& rows, int64_t begin, int64_t end) {
  at::Tensor result = at::empty({end - begin, kDim}, at::kDouble);
  for (int64_t row = begin; row < end; ++row)
    std::copy(rows[static_cast<size_t>(row)].begin(), rows[static_cast<size_t>(row)].end(),
              result.mutable_data_ptr<double>() + (row - begin) * kDim);
  return result;
}

// Global batches smaller than the ranks, uneven, and larger than what is looked at.
TEST(Health, SimilarityMeasuresAreThoseOfTheFirstGlobalRows) {
  const int rank = world().rank, size = world().size;
  for (const int64_t batch : {2, 3, 61, 300}) {
    const auto first = unit_rows(batch, 5), second = unit_rows(batch, 6);
    const int64_t shown = std::min(batch, kHealthRows);
    const auto expected =
        by_loops({first.begin(), first.begin() + shown}, {second.begin(), second.begin() + shown});
    for (const int64_t micro_batch : {0, 2, 7, 100}) {
      const BatchCut cut = cut_batch(batch, micro_batch, size);
      std::vector<at::Tensor> parts0, parts1;
      for (const auto& ranks : cut.share) {
        const RowRange mine = ranks[static_cast<size_t>(rank)];
        parts0.push_back(tensor_of(first, mine.begin, mine.end));
        parts1.push_back(tensor_of(second, mine.begin, mine.end));
      }
      const NamedValues measured =
          similarity_measures({at::cat(parts0), at::cat(parts1)}, cut, *all_ranks().control);
      ASSERT_EQ(measured.size(), expected.size());
      for (const auto& [name, value] : measured)
        EXPECT_NEAR(value, expected.at(name), 1e-12)
            << name << " of " << batch << " rows in chunks of " << micro_batch;
    }
  }
}

TEST(Health, OneRowOrOneViewHasNoMeasures) {
  const auto ones = [](const BatchCut& cut) {
    return at::ones({cut.rank_rows()[static_cast<size_t>(world().rank)], kDim}, at::kDouble);
  };
  const BatchCut one_row = cut_batch(1, 0, world().size), five = cut_batch(5, 0, world().size);
  EXPECT_TRUE(
      similarity_measures({ones(one_row), ones(one_row)}, one_row, *all_ranks().control).empty());
  EXPECT_TRUE(similarity_measures({ones(five)}, five, *all_ranks().control).empty());
}

TEST(Health, BytesAreThoseOfTheTensorsMoved) {
  WorkMeter meter(all_ranks());
  meter.take_bytes();
  const std::vector<int64_t> rows(static_cast<size_t>(world().size), 3);
  all_ranks().loss->all_gather(at::ones({3, 5}, at::kFloat), rows);
  all_ranks().control->all_reduce_sum(at::ones({11}, at::kDouble));
  std::map<std::string, double> bytes;
  for (const auto& [name, value] : meter.take_bytes()) bytes[name] = value;
  EXPECT_EQ(bytes.at("all_gather"), 3 * 5 * 4 * world().size);
  EXPECT_EQ(bytes.at("all_reduce"), 11 * 8);
  EXPECT_EQ(bytes.at("broadcast"), 0);
  for (const auto& [name, value] : meter.take_bytes()) EXPECT_EQ(value, 0) << name;
  EXPECT_GE(meter.take_busy_seconds(), 0);
}

TEST(Health, TheNormIsThatOfAllTensorsTogether) {
  EXPECT_DOUBLE_EQ(norm_of({at::full({3}, 2.0, at::kDouble), at::full({1}, 2.0, at::kDouble)}), 4);
  EXPECT_EQ(norm_of({}), 0);
}

}  // namespace
}  // namespace cltrain
