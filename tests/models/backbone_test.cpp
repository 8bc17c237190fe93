// The interpreter of model files: what blocks are handed, packages with shared weights, embeddings
// against looking rows up by hand; and files that cannot be read, each mistake with its line.
#include "models/backbone/backbone.h"

#include "models/nets/layers.h"
#include "tests/models/golden.h"
#include "tests/models/model_text.h"

namespace cltrain {
namespace {

using testing::click_columns;
using testing::click_features;
using testing::config_error;
using testing::draws_of;
using testing::kContrastive;
using testing::model_of;

std::shared_ptr<Backbone> made(const std::string& text, uint64_t seed = 1) {
  auto backbone = std::make_shared<Backbone>(model_of(text), click_columns(), seed);
  move_to(*backbone, at::kCPU, at::kDouble);
  return backbone;
}

at::Tensor parameter(const Backbone& backbone, const std::string& name) {
  const auto all = backbone.named_parameters();
  return all[name];
}

/// The vectors of hashes by hand: [n, C].
at::Tensor looked_up(const at::Tensor& table, const at::Tensor& hashes) {
  std::vector<at::Tensor> rows;
  for (int64_t i = 0; i < hashes.numel(); ++i) {
    const int64_t hash = hashes[i].item<int64_t>();
    rows.push_back(hash == 0 ? at::zeros_like(table[0]) : table[hash % table.size(0)]);
  }
  return at::stack(rows);
}

TEST(Backbone, GroupsAreLookedUpAndConcatenated) {
  const auto backbone = made(
      "  blocks:\n"
      "    - {name: user, inputs: [{feature_group_name: user}], input_layer: {}}\n"
      "    - {name: all, inputs: [{block_name: user}, {feature_group_name: item}]}\n");
  const at::Tensor features = click_features(9);
  features[4][0] = 0;  // no id
  const Backbone::Output output = backbone->forward(features, {});
  EXPECT_EQ(backbone->feature_dim(), 7);
  EXPECT_EQ(backbone->named_parameters().size(), 2u);
  const at::Tensor expected =
      at::cat({looked_up(parameter(*backbone, "embeddings.user"), features.select(1, 0)),
               looked_up(parameter(*backbone, "embeddings.item"), features.select(1, 1))},
              1);
  EXPECT_TRUE(output.features.equal(expected));
  EXPECT_EQ(output.features[4].narrow(0, 0, 3).abs().sum().item<double>(), 0);
}

TEST(Backbone, ListsBecomeSequencesWithTheTargetBesideThem) {
  const ModelFile model = model_of("  blocks: [{name: x, inputs: [{feature_group_name: user}]}]\n");
  FeatureEmbeddings embeddings(model, click_columns());
  const at::Tensor features = click_features(7);
  const BlockValue value = embeddings.group("both", features);
  EXPECT_TRUE(value.lengths.equal(at::tensor({0, 1, 2, 3, 4, 5, 0}, at::kLong)));
  EXPECT_TRUE(value.sequence.sizes().equals({7, 5, 4}));
  const auto tables = embeddings.named_parameters();
  ASSERT_EQ(tables.size(), 1u);  // shared
  for (int64_t row = 0; row < 7; ++row) {
    EXPECT_TRUE(
        value.sequence[row].equal(looked_up(tables["item"], features[row].narrow(0, 2, 5))));
    EXPECT_TRUE(
        value.features[row].equal(looked_up(tables["item"], features[row].narrow(0, 1, 1))[0]));
  }
}

TEST(Backbone, PackagesShareTheirWeightsAndTakeTheCallersInput) {
  const std::string package =
      "  packages:\n"
      "    - name: twice\n"
      "      blocks:\n"
      "        - {name: mlp, inputs: [{use_package_input: true}], MLP: {hidden_units: [5]}}\n"
      "        - {name: both, inputs: [{block_name: mlp}, {block_name: outer}]}\n"
      "  concat_blocks: [main]\n";
  const auto backbone = made(
      "  blocks:\n"
      "    - {name: outer, inputs: [{feature_group_name: user}]}\n"
      "    - {name: other, inputs: [{feature_group_name: item}], MLP: {hidden_units: [4]}}\n"
      "    - name: main\n"
      "      inputs: [{package_name: twice, package_input: item},\n"
      "               {package_name: twice, package_input: other},\n"
      "               {block_name: other, ignore_input: true}]\n" +
      package);
  const at::Tensor features = click_features(6);
  const at::Tensor user = looked_up(parameter(*backbone, "embeddings.user"), features.select(1, 0));
  const at::Tensor item = looked_up(parameter(*backbone, "embeddings.item"), features.select(1, 1));
  const auto mlp = [&](const std::string& name, const at::Tensor& x) {
    return (x.matmul(parameter(*backbone, name + "/mlp.linear0.weight").t()) +
            parameter(*backbone, name + "/mlp.linear0.bias"))
        .clamp_min(0);
  };
  const at::Tensor other = (item.matmul(parameter(*backbone, "blocks/other.linear0.weight").t()) +
                            parameter(*backbone, "blocks/other.linear0.bias"))
                               .clamp_min(0);
  const at::Tensor expected =
      at::cat({mlp("packages/twice", item), user, mlp("packages/twice", other), user}, 1);
  EXPECT_LT((backbone->forward(features, {}).features - expected).abs().max().item<double>(),
            1e-14);
}

TEST(Backbone, TheContrastGetsTwoViewsAndTheOutputTheSequenceItself) {
  const auto backbone = made(kContrastive);
  ASSERT_EQ(backbone->losses().size(), 1u);
  EXPECT_EQ(backbone->losses()[0].block, "contrastive");
  EXPECT_EQ(backbone->losses()[0].settings.temperature, 0.5);
  EXPECT_EQ(backbone->feature_dim(), 6);
  const at::Tensor features = click_features(12);
  EXPECT_TRUE(backbone->forward(features, {}).pairs.empty());
  const Backbone::Output a = backbone->forward(features, draws_of(12));
  ASSERT_EQ(a.pairs.size(), 1u);
  EXPECT_TRUE(a.pairs[0].left.sizes().equals({12, 8}));
  EXPECT_FALSE(a.pairs[0].left.equal(a.pairs[0].right));
  // Rows by themselves, and none at all.
  const Backbone::Output b = backbone->forward(features.narrow(0, 5, 4), draws_of(4, 5));
  EXPECT_LT((b.features - a.features.narrow(0, 5, 4)).abs().max().item<double>(), 1e-12);
  EXPECT_LT((b.pairs[0].right - a.pairs[0].right.narrow(0, 5, 4)).abs().max().item<double>(),
            1e-12);
  const Backbone::Output none = backbone->forward(features.narrow(0, 0, 0), draws_of(0));
  EXPECT_TRUE(none.features.sizes().equals({0, 6}));
  EXPECT_TRUE(none.features.requires_grad());
  // Every weight has a part in what comes out.
  (a.features.sum() + a.pairs[0].left.sum() + (a.pairs[0].right * 0.3).sum()).backward();
  for (const auto& item : backbone->named_parameters())
    EXPECT_TRUE(item.value().grad().defined()) << item.key();
}

TEST(Backbone, FirstWeightsAreKeyedByTheSeed) {
  const auto first = made(kContrastive), again = made(kContrastive), other = made(kContrastive, 2);
  const auto weights = first->named_parameters(), same = again->named_parameters(),
             different = other->named_parameters();
  for (const auto& item : weights) {
    EXPECT_TRUE(item.value().equal(same[item.key()])) << item.key();
    if (item.value().dim() == 2) {
      EXPECT_FALSE(item.value().equal(different[item.key()])) << item.key();
    }
  }
  const at::Tensor table = weights["embeddings.user"];
  EXPECT_NEAR(table.square().mean().item<double>(), 1.0 / 3, 0.1);
}

std::string mistakes(const std::string& backbone) {
  return config_error([&] { made(backbone); });
}

/// A block `name` with these inputs and more.
std::string block(const std::string& name, const std::string& inputs,
                  const std::string& more = "") {
  return "    - {name: " + name + ", inputs: [" + inputs + "]" + more + "}\n";
}

const std::string kUser = "{feature_group_name: user}";
const std::string kSequence = block("seq", "{feature_group_name: seq}",
                                    ", input_layer: {output_seq_and_normal_feature: true}");

TEST(ModelFile, WhatIsNotThereIsNamedWithItsLine) {
  const auto expect = [](const std::string& text, const std::string& message) {
    const std::string found = mistakes(text);
    EXPECT_NE(found.find(message), std::string::npos) << message << "\n" << found;
  };
  const std::string b = "  blocks:\n";
  expect(b + block("a", "{block_name: bb}") + block("b", kUser),
         "model.yaml:8:26: bb: there is no block of this name; there are a, b");
  expect(b + block("a", "{feature_group_name: users}"),
         "there are user, item, seq, both; nearest: user");
  expect(b + block("a", "{package_name: p}"), "there is no package");
  expect(b + block("a", "{use_package_input: true}"), "this block is in none");
  expect(b + block("a", "{block_name: a}"), "model.yaml:8:7: a: waits for itself: a <- a");
  expect(b + block("a", "{block_name: b}") + block("b", "{block_name: c}") +
             block("c", "{block_name: a}"),
         "waits for itself: a <- b <- c <- a");
  expect(b + block("a", kUser) + block("a", kUser),
         "model.yaml:9:7: a: a block has this name already");
  expect(b + block("a", kUser) + block("b", kUser) + "  concat_blocks: [b]\n",
         "a: nothing uses this block");
  expect(b + block("a", kUser) + "  concat_blocks: [c]\n", "there is no block of this name");
  expect(b + block("a", kUser, ", MPL: {hidden_units: [3]}"),
         "model.yaml:8:55: MPL: no such key in a block");
  expect(b + block("a", kUser, ", MLP: {hidden_unit: [3]}"), "nearest: hidden_units");
  expect(b + block("a", kUser, ", MLP: {hidden_units: [0]}"), "hidden_units");
  expect(b + block("a", kUser, ", MLP: {hidden_units: [3]}, concat: {}"),
         "a second layer beside MLP");
  expect(b + block("a", "{feature_group_name: user, block_name: b}"), "an input is one of");
  expect(b + block("a.b", kUser), "is no name");
  expect(b + block("a", "{package_name: p}") +
             "  packages:\n    - {name: p, blocks: [{name: x, inputs: [{package_name: p}]}]}\n",
         "waits for itself: p/x <- p/x");
  expect(b + block("a", kUser) + "  packages:\n    - {name: p, blocks: [{name: x, inputs: [" +
             kUser + "]}]}\n",
         "nothing calls this package");
  expect("  block: []\n", "block: no such key in backbone; allowed: blocks");
  EXPECT_NE(config_error([] {
              parse_model("features: [\n", testing::model_place());
            }).find("model.yaml:"),
            std::string::npos);
  EXPECT_NE(config_error([] { read_model_file("/no/such/file.yaml"); }).find("easyrec.model"),
            std::string::npos);
}

TEST(ModelFile, WhatABlockCannotTakeIsNamedWithItsLine) {
  const std::string b = "  blocks:\n";
  const auto expect = [](const std::string& text, const std::string& message) {
    const std::string found = mistakes(text);
    EXPECT_NE(found.find(message), std::string::npos) << message << "\n" << found;
  };
  expect(b + block("a", "{feature_group_name: seq}", ", input_layer: {}"),
         "model.yaml:8:7: a: the feature group has lists");
  expect(b + block("a", kUser, ", input_layer: {output_seq_and_normal_feature: true}"),
         "the feature group has no list");
  expect(b + kSequence, "concat_blocks: an input is a sequence");
  expect(b + kSequence + block("a", "{block_name: seq}, " + kUser),
         "model.yaml:9:7: a: an input is a sequence");
  expect(b + block("a", kUser,
                   ", BST: {hidden_size: 4, num_hidden_layers: 1, "
                   "num_attention_heads: 1, intermediate_size: 4}"),
         "BST takes one sequence");
  const std::string package =
      "  packages:\n    - {name: p, blocks: [{name: x, inputs: [{use_package_input: true}], "
      "MLP: {hidden_units: [3]}}]}\n";
  expect(b + block("a", "{package_name: p}") + package,
         "a call of this package has no package_input");
  expect(b +
             block("a",
                   "{package_name: p, package_input: user}, "
                   "{package_name: p, package_input: item}") +
             package,
         "called with 4 channels, and before with 3");
}

TEST(ModelFile, FeaturesHaveToFitEachOtherAndTheData) {
  const std::string end =
      "feature_groups: {g: [a, b]}\nbackbone: {blocks: [{name: x, inputs: [{feature_group_name: "
      "g}]}]}\n";
  const auto error = [&](const std::string& features) {
    return config_error([&] {
      Backbone(parse_model("features:\n" + features + end, testing::model_place()), click_columns(),
               1);
    });
  };
  const std::string a = "  - {name: a, column: user, hash_bucket_size: 9, embedding_dim: 2}\n";
  EXPECT_NE(error(a + "  - {name: b, hash_bucket_size: 9, embedding_dim: 2, embedding_name: a}\n")
                .find("model.yaml:3:5: b: the data have no column b; they have user, item, list"),
            std::string::npos);
  EXPECT_NE(error(a + "  - {name: b, hash_bucket_size: 8, embedding_dim: 2, embedding_name: a}\n")
                .find("which has hash_bucket_size 9"),
            std::string::npos);
  EXPECT_NE(error(a).find("there is no feature of this name"), std::string::npos);
  EXPECT_NE(error(a + "  - {name: b, hash_bucket_size: 8, embeding_dim: 2}\n")
                .find("nearest: embedding_dim"),
            std::string::npos);
}

TEST(ModelFile, TheShippedOnesAreRead) {
  const std::string folder = std::string(CLTRAIN_SOURCE) + "/configs/easyrec/";
  EXPECT_EQ(read_model_file(folder + "cl4srec_ml100k.yaml").features.size(), 4u);
  const ModelFile taobao = read_model_file(folder + "cl4srec_taobao.yaml");
  EXPECT_EQ(taobao.group("item")->features.size(), 7u);
  EXPECT_EQ(taobao.group("user")->features.size(), 8u);
  EXPECT_EQ(taobao.top_mlp, (std::vector<int64_t>{256, 128, 64}));
}

}  // namespace
}  // namespace cltrain
