// The area under the curve against counting every pair.
#include "eval/auc.h"

#include "tests/eval/one_rank.h"
#include "tests/support/error_text.h"

#include <cmath>

#include <ATen/Functions.h>

namespace cltrain {
namespace {

AucResult auc_of(const std::vector<double>& scores, const std::vector<double>& labels) {
  const auto alone = testing::one_rank();
  return area_under_curve(at::tensor(scores, at::kDouble), at::tensor(labels, at::kDouble), *alone);
}

double by_pairs(const std::vector<double>& scores, const std::vector<double>& labels) {
  double right = 0, pairs = 0;
  for (size_t i = 0; i < scores.size(); ++i)
    for (size_t j = 0; j < scores.size(); ++j) {
      if (labels[i] < 0.5 || labels[j] > 0.5) continue;
      ++pairs;
      right += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
    }
  return right / pairs;
}

TEST(AreaUnderCurve, IsTheShareOfPairsInOrder) {
  for (const int levels : {1, 2, 7, 1000000}) {  // few levels: many ties
    std::vector<double> scores, labels;
    for (int row = 0; row < 300; ++row) {
      scores.push_back(std::floor(levels * std::abs(std::sin(7.0 * row + 1))));
      labels.push_back(std::sin(3.0 * row) + 0.3 * std::sin(7.0 * row + 1) > 0.4);
    }
    EXPECT_DOUBLE_EQ(auc_of(scores, labels).auc, by_pairs(scores, labels)) << levels;
  }
}

TEST(AreaUnderCurve, OfFewRows) {
  EXPECT_EQ(auc_of({1, 2, 3}, {0, 0, 1}).auc, 1);
  EXPECT_EQ(auc_of({3, 2, 1}, {0, 0, 1}).auc, 0);
  EXPECT_EQ(auc_of({2, 2, 2}, {0, 0, 1}).auc, 0.5);
  EXPECT_TRUE(std::isnan(auc_of({1, 2}, {1, 1}).auc));
  EXPECT_TRUE(std::isnan(auc_of({}, {}).auc));
  EXPECT_EQ(auc_of({1, 2}, {1, 1}).positives, 2);
}

TEST(AreaUnderCurve, RefusesWhatIsNoScore) {
  EXPECT_NE(testing::error_text([] {
              auc_of({NAN, 2}, {0, 1});
            }).find("not finite"),
            std::string::npos);
  EXPECT_THROW(auc_of({1, 2, 3}, {0, 1}), c10::Error);
}

}  // namespace
}  // namespace cltrain
