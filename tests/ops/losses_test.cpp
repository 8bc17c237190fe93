// Every loss of ops/losses.h against its paper's formula on all pairs in float64
// (tests/support/dense_losses.h): values, gradients to the embeddings and to the scale.
#include "ops/losses.h"

#include "tests/support/dense_losses.h"
#include "tests/support/error_text.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::alike_views;
using testing::distance;
using testing::gaussian_rows;
using testing::length;
using testing::relative_error;
using testing::Views;

/// One value a row of embeddings and a scale.
using Loss = std::function<at::Tensor(const std::vector<at::Tensor>&, const at::Tensor&)>;

at::Tensor row_weights(int64_t rows) {
  return (at::arange(rows, at::kDouble) * 0.7).cos() + 1.2;
}

/// Gradients are compared of a sum that gives every row a weight of its own.
at::Tensor weighted(const at::Tensor& loss) {
  return (loss * row_weights(loss.size(0))).sum();
}

struct Leaves {
  std::vector<at::Tensor> embeddings;
  at::Tensor scale;

  Leaves(const std::vector<at::Tensor>& values, double factor, at::ScalarType type)
      : scale(at::full({}, factor, at::kDouble).requires_grad_()) {
    for (const at::Tensor& value : values)
      embeddings.push_back(value.to(type).detach().clone().requires_grad_());
  }
};

/// The loss and the formula on the same numbers, which are of `type` for the loss.
///
/// A loss is the difference of a log-sum-exp and a logit, so errors are counted in units of these:
/// of their gradients too, which all but cancel where every positive is the nearest row.
void expect_formula(const Loss& loss, const Loss& formula, std::vector<at::Tensor> embeddings,
                    double scale, at::ScalarType type) {
  for (at::Tensor& each : embeddings) each = each.to(type).to(at::kDouble);
  Leaves plain(embeddings, scale, at::kDouble), fast(embeddings, scale, type);
  const at::Tensor expected = formula(plain.embeddings, plain.scale);
  const at::Tensor found = loss(fast.embeddings, fast.scale);
  const double tolerance = type == at::kDouble ? 1e-12 : 1e-5;
  ASSERT_EQ(found.scalar_type(), at::kDouble);
  ASSERT_EQ(found.sizes(), expected.sizes());
  ASSERT_TRUE(expected.isfinite().all().item<bool>()) << "the formula has overflowed";
  const double longest = at::cat(embeddings).norm(2, {1}).max().item<double>();
  const double largest_logit = scale * longest * longest;
  const at::Tensor unit = expected.abs() + 1 + 0.1 * largest_logit;
  EXPECT_LE(((found - expected).abs() / unit).max().item<double>(), tolerance);
  weighted(expected).backward();
  weighted(found).backward();
  const at::Tensor weights = row_weights(found.size(0));
  for (size_t i = 0; i < embeddings.size(); ++i) {
    const at::Tensor gradient = fast.embeddings[i].grad(), right = plain.embeddings[i].grad();
    ASSERT_TRUE(gradient.defined()) << "embedding " << i;
    EXPECT_EQ(gradient.scalar_type(), type);
    const double of_logits = scale * longest * length(weights);
    EXPECT_LE(distance(gradient, right), tolerance * (length(right) + of_logits))
        << "embedding " << i;
  }
  const double of_logits = longest * longest * weights.sum().item<double>();
  EXPECT_LE(distance(fast.scale.grad(), plain.scale.grad()),
            tolerance * (length(plain.scale.grad()) + of_logits))
      << "scale";
}

struct Numbers {
  int64_t rows, width;
  double scale;
  bool unit;
};

// Raw rows are as long as sqrt(width): their logits are about scale * width, and 100 at most.
const std::vector<Numbers>& numbers() {
  static const std::vector<Numbers> all{
      {2, 3, 1, true},      {2, 3, 100, true},  {5, 1, 3, true},       {37, 3, 10, true},
      {40, 33, 100, true},  {200, 64, 2, true}, {300, 33, 14, true},   {300, 33, 100, true},
      {129, 17, 0.5, true}, {2, 3, 2, false},   {37, 3, 5, false},     {40, 33, 0.9, false},
      {300, 33, 1, false},  {200, 5, 3, false}, {150, 64, 0.05, false}};
  return all;
}

std::string description(const Numbers& each) {
  return std::to_string(each.rows) + " x " + std::to_string(each.width) + ", scale " +
         std::to_string(each.scale) + (each.unit ? ", unit rows" : ", raw rows");
}

class Losses : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  void expect_of_views(const Loss& loss, const Loss& formula) {
    for (const Numbers& each : numbers()) {
      SCOPED_TRACE(description(each));
      const Views views = alike_views(each.rows, each.width, each.rows + 7, each.unit);
      expect_formula(loss, formula, {views.first, views.second}, each.scale, GetParam());
    }
  }
};

TEST_P(Losses, NtXent) {
  expect_of_views(
      [](const auto& e, const auto& s) { return nt_xent_rows(e[0], e[1], s); },
      [](const auto& e, const auto& s) { return testing::dense_nt_xent_rows(e[0], e[1], s); });
}

TEST_P(Losses, Dcl) {
  expect_of_views(
      [](const auto& e, const auto& s) { return dcl_rows(e[0], e[1], s); },
      [](const auto& e, const auto& s) { return testing::dense_dcl_rows(e[0], e[1], s); });
}

TEST_P(Losses, GraphCl) {
  expect_of_views(
      [](const auto& e, const auto& s) { return graphcl_rows(e[0], e[1], s); },
      [](const auto& e, const auto& s) { return testing::dense_graphcl_rows(e[0], e[1], s); });
}

TEST_P(Losses, ClipBothDirections) {
  expect_of_views(
      [](const auto& e, const auto& s) { return clip_rows(e[0], e[1], s).x_to_y; },
      [](const auto& e, const auto& s) { return testing::dense_clip_rows(e[0], e[1], s).x_to_y; });
  expect_of_views(
      [](const auto& e, const auto& s) { return clip_rows(e[0], e[1], s).y_to_x; },
      [](const auto& e, const auto& s) { return testing::dense_clip_rows(e[0], e[1], s).y_to_x; });
  const auto both = [](const auto& rows) { return at::cat({rows.x_to_y, rows.y_to_x}); };
  expect_of_views(
      [&](const auto& e, const auto& s) { return both(clip_rows(e[0], e[1], s)); },
      [&](const auto& e, const auto& s) { return both(testing::dense_clip_rows(e[0], e[1], s)); });
}

TEST_P(Losses, InfoNceWithAndWithoutWeight) {
  for (const Numbers& each : numbers())
    for (const int64_t queue : {1, 70, 1000})
      for (const bool fades : {false, true}) {
        SCOPED_TRACE(::testing::Message()
                     << description(each) << ", queue " << queue << (fades ? ", weighted" : ""));
        const Views views = alike_views(each.rows, each.width, each.rows + 7, each.unit);
        const at::Tensor negatives = gaussian_rows(queue, each.width, 99, each.unit);
        const at::Tensor weight =
            fades ? at::linspace(0.3, 1.0, queue, at::kDouble).to(GetParam()) : at::Tensor();
        const at::Tensor wide = fades ? weight.to(at::kDouble) : weight;
        expect_formula([&](const auto& e,
                           const auto& s) { return info_nce_rows(e[0], e[1], e[2], s, weight); },
                       [&](const auto& e, const auto& s) {
                         return testing::dense_info_nce_rows(e[0], e[1], e[2], s, wide);
                       },
                       {views.first, views.second, negatives}, each.scale, GetParam());
      }
}

// Classes of one row, of two, of many, and all but a few rows in one class.
std::vector<std::vector<int64_t>> labellings(int64_t rows) {
  std::vector<std::vector<int64_t>> all(4);
  for (int64_t i = 0; i < rows; ++i) {
    all[0].push_back(i % 7 == 3 ? 1000 + i : i % 5);
    all[1].push_back(i / 2 * 11 - 40);
    all[2].push_back(6);
    all[3].push_back(i % 40 == 1 ? -i : 3);
  }
  return all;
}

TEST_P(Losses, SupConBothForms) {
  for (const Numbers& each : numbers()) {
    if (each.rows > 150) continue;  // the formula is a loop over pairs
    for (const std::vector<int64_t>& labels : labellings(each.rows))
      for (const auto form : {SupConForm::kMeanOfLogs, SupConForm::kLogOfSum}) {
        const bool outside = form == SupConForm::kMeanOfLogs;
        SCOPED_TRACE(::testing::Message() << description(each) << (outside ? ", L_out" : ", L_in")
                                          << ", label of row 0: " << labels[0]);
        const at::Tensor z = alike_views(each.rows, each.width, 5, each.unit).second;
        const at::Tensor tensor = at::tensor(labels, at::kLong);
        const at::Tensor has_positive =
            supcon_rows(z, tensor, at::full({}, each.scale), form).has_positive;
        for (int64_t i = 0; i < each.rows; ++i)
          EXPECT_EQ(has_positive[i].item<bool>(),
                    std::count(labels.begin(), labels.end(), labels[i]) > 1);
        if (!has_positive.any().item<bool>()) continue;
        expect_formula(
            [&](const auto& e, const auto& s) { return supcon_rows(e[0], tensor, s, form).loss; },
            [&](const auto& e, const auto& s) {
              return testing::dense_supcon_rows(e[0], labels, s, outside);
            },
            {z}, each.scale, GetParam());
      }
  }
}

TEST_P(Losses, SupConOfClassesOfOneRowIsNothing) {
  for (const int64_t rows : {1, 2, 50})
    for (const auto form : {SupConForm::kMeanOfLogs, SupConForm::kLogOfSum}) {
      Leaves leaves({gaussian_rows(rows, 6, 2)}, 10, GetParam());
      const SupConRows found =
          supcon_rows(leaves.embeddings[0], at::arange(rows), leaves.scale, form);
      EXPECT_FALSE(found.has_positive.any().item<bool>());
      EXPECT_EQ(found.loss.abs().sum().item<double>(), 0);
      weighted(found.loss).backward();
      EXPECT_EQ(leaves.embeddings[0].grad().abs().sum().item<double>(), 0);
      EXPECT_EQ(leaves.scale.grad().item<double>(), 0);
    }
}

TEST_P(Losses, SupConInsideOfOneClassIsAConstant) {
  // Every other row is a positive: the mean probability is 1 / (M - 1), whatever the embeddings.
  Leaves leaves({gaussian_rows(90, 6, 2)}, 10, GetParam());
  const SupConRows found = supcon_rows(leaves.embeddings[0], at::full({90}, 4, at::kLong),
                                       leaves.scale, SupConForm::kLogOfSum);
  const double tolerance = GetParam() == at::kDouble ? 1e-12 : 1e-5;
  EXPECT_LE((found.loss - std::log(89.0)).abs().max().item<double>(), tolerance);
  found.loss.sum().backward();
  EXPECT_LE(leaves.embeddings[0].grad().abs().max().item<double>(), 10 * tolerance);
}

TEST_P(Losses, InfoNceWithoutNegativesIsNothing) {
  const Views views = alike_views(20, 6, 3);
  for (const at::Tensor& weight : {at::Tensor(), at::zeros({0}, GetParam())}) {
    Leaves leaves({views.first, views.second, at::zeros({0, 6})}, 10, GetParam());
    const at::Tensor loss = info_nce_rows(leaves.embeddings[0], leaves.embeddings[1],
                                          leaves.embeddings[2], leaves.scale, weight);
    EXPECT_EQ(loss.abs().sum().item<double>(), 0);
    weighted(loss).backward();
    for (const at::Tensor& each : leaves.embeddings)
      EXPECT_EQ(each.grad().abs().sum().item<double>(), 0);
    EXPECT_EQ(leaves.scale.grad().item<double>(), 0);
  }
}

TEST_P(Losses, NoRows) {
  const at::Tensor none = at::zeros({0, 6}, GetParam()), scale = at::ones({});
  EXPECT_EQ(nt_xent_rows(none, none, scale).numel(), 0);
  EXPECT_EQ(dcl_rows(none, none, scale).numel(), 0);
  EXPECT_EQ(graphcl_rows(none, none, scale).numel(), 0);
  EXPECT_EQ(clip_rows(none, none, scale).x_to_y.numel(), 0);
  EXPECT_EQ(info_nce_rows(none, none, gaussian_rows(4, 6, 1).to(GetParam()), scale).numel(), 0);
  for (const auto form : {SupConForm::kMeanOfLogs, SupConForm::kLogOfSum})
    EXPECT_EQ(supcon_rows(none, at::zeros({0}, at::kLong), scale, form).loss.numel(), 0);
}

// A row whose every pair in a tile is masked, while its own sum lies hundreds below the logits of
// that tile: row 0 has one positive, and that is its opposite.
TEST_P(Losses, SupConInsideOfARowFarFromItsOnlyPositive) {
  at::Tensor z = gaussian_rows(64, 4, 8) * 0.05;
  z.select(1, 0) += 1;
  z[63] = -z[0];
  std::vector<int64_t> labels{0};
  for (int64_t i = 1; i < 63; ++i) labels.push_back(1 + i % 3);
  labels.push_back(0);
  expect_formula(
      [&](const auto& e, const auto& s) {
        return supcon_rows(e[0], at::tensor(labels, at::kLong), s, SupConForm::kLogOfSum).loss;
      },
      [&](const auto& e, const auto& s) {
        return testing::dense_supcon_rows(e[0], labels, s, /*outside=*/false);
      },
      {z}, 100, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Types, Losses, ::testing::Values(at::kFloat, at::kDouble),
                         [](const auto& info) { return std::string(c10::toString(info.param)); });

TEST(LossesTwins, EmbeddingsThatAreAllTheSame) {
  // Collapsed rows: every candidate is as likely, ln(2B - 1), and nothing pulls.
  Leaves leaves({at::ones({32, 4}) * 0.5, at::ones({32, 4}) * 0.5}, 100, at::kFloat);
  const at::Tensor loss = nt_xent_rows(leaves.embeddings[0], leaves.embeddings[1], leaves.scale);
  EXPECT_LE((loss - std::log(63.0)).abs().max().item<double>(), 1e-5);
  loss.sum().backward();
  EXPECT_LE(leaves.embeddings[0].grad().abs().max().item<double>(), 1e-3);
}

// Both parts of the loss see the same logits: those of the numbers that bfloat16 holds.
TEST(LossesBfloat16, ValuesAreThoseOfTheRoundedEmbeddings) {
  const Views views = alike_views(130, 33, 4);
  const at::Tensor x = views.first.to(at::kBFloat16), y = views.second.to(at::kBFloat16);
  const at::Tensor a = x.to(at::kDouble), b = y.to(at::kDouble);
  const at::Tensor scale = at::full({}, 20.0, at::kDouble);
  EXPECT_LE(relative_error(nt_xent_rows(x, y, scale), testing::dense_nt_xent_rows(a, b, scale)),
            1e-4);
  EXPECT_LE(
      relative_error(clip_rows(x, y, scale).x_to_y, testing::dense_clip_rows(a, b, scale).x_to_y),
      1e-4);
  EXPECT_LE(
      relative_error(info_nce_rows(x, y, x, scale), testing::dense_info_nce_rows(a, b, a, scale)),
      1e-4);
}

TEST(LossesErrors, SayWhatIsWrong) {
  const at::Tensor x = at::ones({4, 3}), y = at::ones({5, 3}), scale = at::ones({});
  const std::vector<std::function<void()>> calls{
      [&] { nt_xent_rows(x, y, scale); }, [&] { dcl_rows(x, y, scale); },
      [&] { graphcl_rows(x, y, scale); }, [&] { clip_rows(x, y, scale); },
      [&] { info_nce_rows(x, y, x, scale); }};
  for (const auto& call : calls) {
    const std::string text = testing::error_text(call);
    EXPECT_NE(text.find("[4, 3]"), std::string::npos) << text;
    EXPECT_NE(text.find("[5, 3]"), std::string::npos) << text;
  }
  const std::string labels =
      testing::error_text([&] { supcon_rows(x, at::arange(7), scale, SupConForm::kMeanOfLogs); });
  EXPECT_NE(labels.find("7 labels for 4 rows"), std::string::npos) << labels;
  const std::string width = testing::error_text([&] {
    info_nce_rows(x, x, at::ones({9, 2}), scale);
  });
  EXPECT_NE(width.find("width 3"), std::string::npos) << width;
  const std::string weight =
      testing::error_text([&] { info_nce_rows(x, x, y, scale, at::ones({4})); });
  EXPECT_NE(weight.find("candidate_weight"), std::string::npos) << weight;
  const std::string cold = testing::error_text([&] { nt_xent_rows(x, x, at::full({}, -1.0)); });
  EXPECT_NE(cold.find("temperature"), std::string::npos) << cold;
}

}  // namespace
}  // namespace cltrain
