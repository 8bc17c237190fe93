// The loss of a click-through model against its formula on one rank, every term; the logit.
#include "models/methods/click_through.h"

#include "data/clicks/open_clicks.h"
#include "models/nets/layers.h"
#include "models/registry.h"
#include "tests/eval/one_rank.h"
#include "tests/support/dense_losses.h"
#include "tests/support/error_text.h"

#include <cmath>

namespace cltrain {
namespace {

struct Case {
  Communicators ranks{testing::one_rank(), testing::one_rank(), testing::one_rank()};
  ClickPair data = synthetic_clicks(100, 6);
  MethodOptions options;
  std::shared_ptr<Method> method;
  Batch batch;
  StepContext context{ranks, 3, 2, 1, {12}};

  explicit Case(double l2 = 0, double embedding = 0) {
    options.name = "cl4srec_easyrec";
    options.model.name = "backbone";
    options.easyrec.model = CLTRAIN_SOURCE "/tests/equivalence/click_model.yaml";
    options.easyrec.l2_regularization = l2;
    options.easyrec.embedding_regularization = embedding;
    method = make_method(options, 5, *ranks.loss, {.clicks = &data.train->columns()});
    move_to(*method, at::kCPU, at::kDouble);
    at::Tensor features = at::empty({12, data.train->columns().width()}, at::kLong);
    at::Tensor click = at::empty({12}, at::kDouble);
    for (int64_t row = 0; row < 12; ++row) {
      data.train->table().write(data.train->source_id(row),
                                features.mutable_data_ptr<int64_t>() + row * features.size(1));
      click[row] = data.train->table().click(data.train->source_id(row)) ? 1.0 : 0.0;
    }
    batch.tensors = {{"features", features}, {"click", click}};
    batch.ids = at::arange(12, at::kLong);
    batch.global_rows = 12;
  }
  double loss() {
    const Phase phase = method->plan(0, 1).front();
    return method->contrast(phase, method->encode(phase, batch, context), batch, context)
        .share.item<double>();
  }
};

TEST(ClickThrough, LossIsTheFormula) {
  Case one(0.01, 0.02);
  const Phase phase = one.method->plan(0, 1).front();
  const std::vector<at::Tensor> encoded = one.method->encode(phase, one.batch, one.context);
  ASSERT_EQ(encoded.size(), 2u + 2 * 3);
  double expected = 0;
  for (int64_t row = 0; row < 12; ++row) {
    const double chance = 1 / (1 + std::exp(-encoded[0][row].item<double>()));
    const bool click = one.batch.tensors.at("click")[row].item<double>() > 0.5;
    expected -= std::log(click ? chance : 1 - chance) / 12;
  }
  const auto scale = [](double temperature) {
    return at::scalar_tensor(1 / temperature, at::kDouble);
  };
  expected +=
      0.3 * testing::dense_nt_xent_rows(encoded[2], encoded[3], scale(0.5)).mean().item<double>();
  const at::Tensor e = testing::exponentials(encoded[4], encoded[5], scale(0.4));
  expected -= 0.2 * (e.diagonal() / e.sum(1)).log().mean().item<double>();
  expected += 0.1 * (encoded[6] - encoded[7]).square().sum(1).mean().item<double>();
  for (const auto& item : one.method->named_parameters()) {
    const bool table = item.key().starts_with("encoder.embeddings.");
    const bool linear = item.value().dim() == 2 && item.key().ends_with(".weight") && !table;
    expected += 0.5 *
                (table    ? 0.02
                 : linear ? 0.01
                          : 0) *
                item.value().square().sum().item<double>();
  }
  const LossShare loss = one.method->contrast(phase, encoded, one.batch, one.context);
  EXPECT_NEAR(loss.share.item<double>(), expected, 1e-12 * expected);
  ASSERT_EQ(loss.scalars.size(), 4u);
  EXPECT_EQ(loss.scalars[1].first, "contrastive_loss");
  EXPECT_EQ(one.method->negatives_per_anchor(12), 22);
  EXPECT_EQ(one.loss(), loss.share.item<double>());
}

TEST(ClickThrough, RegularisationIsOff) {
  EXPECT_LT(Case().loss(), Case(0.01).loss());
  EXPECT_LT(Case().loss(), Case(0, 0.01).loss());
}

TEST(ClickThrough, EmbedAndClassifyAreTheLogitWithoutDraws) {
  Case one;
  one.method->eval();
  const at::Tensor features = one.batch.tensors.at("features");
  const at::Tensor logits = one.method->classify(one.method->embed(features));
  EXPECT_TRUE(logits.sizes().equals({12, 1}));
  const auto weights = one.method->named_parameters();
  EXPECT_LT((one.method->embed(features).matmul(weights["output.weight"].t()) +
             weights["output.bias"] - logits)
                .abs()
                .max()
                .item<double>(),
            1e-14);
  const Phase phase = one.method->plan(0, 1).front();
  EXPECT_TRUE(one.method->encode(phase, one.batch, one.context)[0].equal(logits.squeeze(1)));
  one.method->train();
  EXPECT_FALSE(one.method->encode(phase, one.batch, one.context)[0].equal(logits.squeeze(1)));
}

TEST(ClickThrough, IsMadeForColumns) {
  Case one;
  EXPECT_NE(testing::error_text([&] {
              make_method(one.options, 5, *one.ranks.loss);
            }).find("made for the columns of a data set"),
            std::string::npos);
  one.options.easyrec.model = "";
  EXPECT_FALSE(problems(one.options, 1).empty());
}

}  // namespace
}  // namespace cltrain
