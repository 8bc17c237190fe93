// Gradient caching on one rank, against one graph that holds all chunks at once; how often the
// encoder runs, and what the norms and the keyed draws see of it. Several ranks:
// tests/equivalence/.
#include "train/gradient_cache.h"

#include "models/methods/simclr.h"
#include "models/nets/small_conv.h"
#include "ops/dropout.h"
#include "tests/eval/one_rank.h"
#include "tests/train/folder.h"

#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using Gradients = std::map<std::string, at::Tensor>;

at::Tensor images(int64_t rows, double phase) {
  return (at::arange(rows * 3 * 8 * 8, at::kDouble) * 0.77 + phase).sin().view({rows, 3, 8, 8});
}

Batch batch_of(int64_t rows, int64_t micro_batch, at::ScalarType type) {
  Batch batch;
  batch.tensors = {{"view0", images(rows, 0.1).to(type)}, {"view1", images(rows, 0.7).to(type)}};
  batch.ids = at::arange(rows, at::kLong) * 7 + 100;
  batch.positions = at::arange(rows, at::kLong);
  batch.global_rows = rows;
  batch.cut = cut_batch(rows, micro_batch, 1);
  return batch;
}

/// A small encoder that keeps how many images each of its passes had.
class Watched : public Encoder {
 public:
  explicit Watched(const NormSettings& norm)
      : inner_(register_module("inner", make_small_conv(0.25, norm, 3))) {}
  at::Tensor forward(const at::Tensor& images) override {
    passes.push_back(images.size(0));
    return inner_->forward(images);
  }
  int64_t feature_dim() const override { return inner_->feature_dim(); }
  std::vector<int64_t> passes;

 private:
  std::shared_ptr<Encoder> inner_;
};

HeadSettings small_head(const NormSettings& norm) {
  return {.layers = 3, .hidden = 0, .out = 8, .norm = norm};
}

class GradientCache : public ::testing::Test {
 protected:
  GradientCache() : communicators_{testing::one_rank(), testing::one_rank(), testing::one_rank()} {}

  NormSettings norm(const std::string& kind) const {
    return {.kind = kind, .communicator = communicators_.loss.get()};
  }
  std::shared_ptr<Simclr> simclr(const std::string& kind, std::shared_ptr<Encoder> encoder = {}) {
    if (!encoder) encoder = make_small_conv(0.25, norm(kind), 3);
    return typed(std::make_shared<Simclr>(encoder, small_head(norm(kind)),
                                          SimclrOptions{.learn_temperature = true}, 3));
  }
  template <class AnyMethod>
  std::shared_ptr<AnyMethod> typed(std::shared_ptr<AnyMethod> method) const {
    move_to(*method, at::kCPU, type_);
    return method;
  }
  StepContext context_of(const Batch& batch) const {
    return {communicators_, 3, 11, 0, {batch.ids.size(0)}};
  }

  struct Result {
    double loss;
    Gradients gradients;
    std::vector<std::string> unreached;
  };
  Result cached(Method& method, const Batch& batch, bool autocast = false) const {
    const std::vector<NamedTensor> parameters = method.groups().at(0).parameters;
    GradientSum sum(parameters, *communicators_.gradients);
    const LossShare loss =
        forward_backward(method, method.plan(0, 1)[0], batch, context_of(batch), autocast, sum);
    EXPECT_FALSE(loss.share.requires_grad());
    Result result{loss.share.item<double>(), {}, sum.finish()};
    for (const auto& [name, parameter] : parameters)
      result.gradients[name] = parameter.grad().clone();
    return result;
  }

  /// One graph over the embeddings of all chunks, with no leaf in between.
  Result in_one_graph(Method& method, const Batch& batch) const {
    const std::vector<NamedTensor> parameters = method.groups().at(0).parameters;
    for (const auto& [name, parameter] : parameters) parameter.mutable_grad().reset();
    const Phase phase = method.plan(0, 1)[0];
    std::vector<std::vector<at::Tensor>> parts;
    for (int64_t k = 0; k < batch.cut.chunks(); ++k) {
      const Batch chunk = chunk_of(batch, k, 0);
      const auto encoded = method.encode(phase, chunk, context_of(chunk));
      parts.resize(encoded.size());
      for (size_t i = 0; i < encoded.size(); ++i) parts[i].push_back(encoded[i]);
    }
    std::vector<at::Tensor> whole;
    for (const auto& each : parts) whole.push_back(at::cat(each));
    const LossShare loss = method.contrast(phase, whole, batch, context_of(batch));
    loss.share.backward();
    Result result{loss.share.item<double>(), {}, {}};
    for (const auto& [name, parameter] : parameters)
      result.gradients[name] =
          parameter.grad().defined() ? parameter.grad().clone() : at::zeros_like(parameter);
    return result;
  }

  static void expect_same(const Result& found, const Result& expected, double tolerance) {
    EXPECT_NEAR(found.loss, expected.loss, tolerance * std::abs(expected.loss));
    double square = 0;
    for (const auto& [name, tensor] : expected.gradients)
      square += tensor.square().sum().item<double>();
    ASSERT_GT(square, 0);
    for (const auto& [name, tensor] : expected.gradients)
      EXPECT_LE((found.gradients.at(name) - tensor).norm().item<double>(),
                tolerance * std::sqrt(square))
          << name;
  }

  Communicators communicators_;
  at::ScalarType type_ = at::kDouble;
};

TEST_F(GradientCache, IsTheGradientOfOneGraphOverAllChunks) {
  for (const std::string kind : {"sync", "local", "group"})
    for (const int64_t micro_batch : {1, 2, 3, 6}) {
      SCOPED_TRACE(kind + " norm, chunks of " + std::to_string(micro_batch));
      const auto method = simclr(kind);
      const Batch batch = batch_of(7, micro_batch, type_);
      const Result found = cached(*method, batch);
      EXPECT_TRUE(found.unreached.empty());
      EXPECT_GT(found.gradients.at("log_scale").abs().item<double>(), 0);
      expect_same(found, in_one_graph(*method, batch), 1e-12);
    }
}

TEST_F(GradientCache, OneChunkHasTheBitsOfAPlainStep) {
  type_ = at::kFloat;
  for (const std::string kind : {"sync", "group"})
    for (const int64_t micro_batch : {0, 7, 9}) {
      const auto method = simclr(kind);
      const Batch batch = batch_of(7, micro_batch, type_);
      expect_same(cached(*method, batch), in_one_graph(*method, batch), 0);
    }
}

TEST_F(GradientCache, EncodesOneChunkOnceAndTheOthersTwice) {
  const auto passes = [&](int64_t micro_batch) {
    const auto encoder = std::make_shared<Watched>(norm("sync"));
    const auto method = simclr("sync", encoder);
    cached(*method, batch_of(7, micro_batch, type_));
    return encoder->passes;
  };
  using Rows = std::vector<int64_t>;  // images: two views of each row
  EXPECT_EQ(passes(0), (Rows{14}));
  EXPECT_EQ(passes(7), (Rows{14}));
  EXPECT_EQ(passes(4), (Rows{6, 8, 6}));
  EXPECT_EQ(passes(3), (Rows{6, 2, 6, 6, 2}));
}

TEST_F(GradientCache, RunningStatisticsAreThoseOfTheChunksInOrder) {
  for (const int64_t micro_batch : {0, 3}) {
    const auto method = simclr("sync"), other = simclr("sync");
    const Batch batch = batch_of(7, micro_batch, type_);
    cached(*method, batch);
    for (const auto& item : method->named_buffers())
      EXPECT_TRUE(at::equal(item.value(), other->named_buffers()[item.key()])) << item.key();
    commit_statistics(*method);
    for (int64_t k = 0; k < batch.cut.chunks(); ++k) {
      const Batch chunk = chunk_of(batch, k, 0);
      other->encode(other->plan(0, 1)[0], chunk, context_of(chunk));
      commit_statistics(*other);
    }
    int64_t norms = 0;
    for (const auto& item : method->named_buffers()) {
      EXPECT_TRUE(at::equal(item.value(), other->named_buffers()[item.key()])) << item.key();
      if (item.key().find("num_batches_tracked") == std::string::npos) continue;
      EXPECT_EQ(item.value().item<int64_t>(), batch.cut.chunks());
      ++norms;
    }
    EXPECT_EQ(norms, 8);
  }
}

TEST_F(GradientCache, ARefusedStepLeavesNoTraceInTheNorms) {
  const auto method = simclr("sync"), other = simclr("sync");
  cached(*method, batch_of(7, 3, type_));
  discard_statistics(*method);
  commit_statistics(*method);
  for (const auto& item : method->named_buffers())
    EXPECT_TRUE(at::equal(item.value(), other->named_buffers()[item.key()])) << item.key();
}

/// Weights that were cast to bfloat16 without graph must not serve the pass with one.
TEST_F(GradientCache, UnderAutocastEveryWeightHasItsGradient) {
  type_ = at::kFloat;
  const auto method = simclr("group");
  const Result whole = cached(*method, batch_of(6, 0, type_), /*autocast=*/true);
  const Result exact = cached(*method, batch_of(6, 0, type_));
  EXPECT_NE(whole.loss, exact.loss) << "autocast does nothing: the test shows nothing";
  for (const int64_t micro_batch : {2, 4}) {
    const Result chunks = cached(*method, batch_of(6, micro_batch, type_), /*autocast=*/true);
    EXPECT_TRUE(chunks.unreached.empty());
    expect_same(chunks, whole, 0.05);
    for (const auto& [name, gradient] : chunks.gradients)
      EXPECT_GT(gradient.norm().item<double>(), 0) << name;
  }
}

/// Keyed dropout between encoder and loss; keeps the masked embeddings of every pass.
class Dropping : public Simclr {
 public:
  using Simclr::Simclr;
  std::vector<at::Tensor> encode(const Phase& phase, const Batch& chunk,
                                 const StepContext& context) override {
    std::vector<at::Tensor> encoded = Simclr::encode(phase, chunk, context);
    const PhiloxKey key =
        random_key(context.seed, Purpose::kDropout, static_cast<uint64_t>(context.step));
    for (uint32_t view = 0; view < 2; ++view)
      encoded[view] = keyed_dropout(encoded[view], chunk.ids, 0.4, key, view, 0);
    seen[chunk.ids[0].item<int64_t>()].push_back(encoded[0].detach());
    return encoded;
  }
  std::map<int64_t, std::vector<at::Tensor>> seen;  // by the chunk's first id
};

TEST_F(GradientCache, TheSecondPassRepeatsTheDropoutOfTheFirst) {
  const auto method = typed(std::make_shared<Dropping>(
      make_small_conv(0.25, norm("sync"), 3), small_head(norm("sync")), SimclrOptions{}, 3));
  const Batch batch = batch_of(7, 3, type_);
  const Result found = cached(*method, batch);
  ASSERT_EQ(method->seen.size(), 3u);
  for (const auto& [id, passes] : method->seen) {
    EXPECT_EQ(passes.size(), id == 100 ? 1u : 2u);
    EXPECT_TRUE(at::equal(passes.front(), passes.back()));
    EXPECT_GT((passes.front() == 0).sum().item<int64_t>(), 0) << "nothing was dropped";
  }
  expect_same(found, in_one_graph(*method, batch), 1e-12);
}

/// Queries with gradient against keys without, as with a momentum encoder; a tensor with gradient
/// that the loss does not use; a parameter that nothing reaches.
class QueryAndKey : public Method {
 public:
  explicit QueryAndKey(const NormSettings& norm)
      : query_(register_module("query", make_small_conv(0.25, norm, 3))),
        key_(register_module("key", make_small_conv(0.25, norm, 4))),
        unused_(register_parameter("unused", at::ones({2}))) {
    for (at::Tensor& parameter : key_->parameters()) parameter.requires_grad_(false);
  }
  std::vector<ParameterGroup> groups() override {
    ParameterGroup group{"all", {{"unused", unused_}}};
    for (const auto& item : query_->named_parameters())
      group.parameters.emplace_back(item.key(), item.value());
    return {group};
  }
  std::vector<at::Tensor> encode(const Phase&, const Batch& chunk, const StepContext&) override {
    const at::Tensor query = query_->forward(chunk.tensors.at("view0"));
    return {query, key_->forward(chunk.tensors.at("view1")), query * 2, chunk.positions};
  }
  LossShare contrast(const Phase&, const std::vector<at::Tensor>& encoded, const Batch& batch,
                     const StepContext&) override {
    EXPECT_TRUE(encoded[0].requires_grad());
    EXPECT_FALSE(encoded[1].requires_grad());
    EXPECT_TRUE(at::equal(encoded[3], batch.positions));
    const at::Tensor logits = encoded[0].mm(encoded[1].t());
    return {.share = (logits.logsumexp(1) - logits.diagonal()).sum()};
  }
  at::Tensor embed(const at::Tensor& images) override { return query_->forward(images); }
  LossPlan plan_loss(const LossShape&, const ContrastSettings&) const override { return {}; }
  int64_t negatives_per_anchor(int64_t global_batch) const override { return global_batch - 1; }

 private:
  std::shared_ptr<Encoder> query_, key_;
  at::Tensor unused_;
};

TEST_F(GradientCache, KeysWithoutGradientGetNone) {
  const auto method = typed(std::make_shared<QueryAndKey>(norm("sync")));
  for (const int64_t micro_batch : {0, 3}) {
    const Batch batch = batch_of(7, micro_batch, type_);
    const Result found = cached(*method, batch);
    EXPECT_EQ(found.unreached, std::vector<std::string>{"unused"});
    expect_same(found, in_one_graph(*method, batch), 1e-12);
  }
}

/// Forgets a row.
class Careless : public Simclr {
 public:
  using Simclr::Simclr;
  std::vector<at::Tensor> encode(const Phase& phase, const Batch& chunk,
                                 const StepContext& context) override {
    std::vector<at::Tensor> encoded = Simclr::encode(phase, chunk, context);
    encoded[1] = encoded[1].narrow(0, 1, encoded[1].size(0) - 1);
    return encoded;
  }
};

TEST_F(GradientCache, RefusesAMethodThatLosesRowsAndABatchThatIsNotCut) {
  const auto careless = typed(std::make_shared<Careless>(
      make_small_conv(0.25, norm("sync"), 3), small_head(norm("sync")), SimclrOptions{}, 3));
  const auto error = [&](Method& method, const Batch& batch) {
    return testing::error_of<c10::Error>([&] { cached(method, batch); });
  };
  EXPECT_TRUE(testing::mentions(error(*careless, batch_of(6, 3, type_)), "a chunk of 3 rows"));
  Batch uncut = batch_of(6, 0, type_);
  uncut.cut = {};
  EXPECT_TRUE(testing::mentions(error(*simclr("sync"), uncut), "how it is cut"));
}

}  // namespace
}  // namespace cltrain
