// VideoMoCo's generator against a statement of it in PyTorch (make_golden_frame_generator.py):
// scores, running statistics and gradients in float64; its LSTM against the formulas, step by step.
#include "models/nets/frame_generator.h"

#include "ops/drop_frames.h"
#include "tests/models/golden.h"
#include "tests/models/values.h"
#include "train/autocast.h"

namespace cltrain {
namespace {

using testing::filled;
using testing::values;

const FrameGeneratorSettings kSmall{
    .frames = 5, .size = 30, .hidden = 6, .norm = {.kind = "local"}};

std::shared_ptr<FrameGenerator> make(const FrameGeneratorSettings& settings = kSmall,
                                     uint64_t seed = 1) {
  return make_frame_generator(settings, seed);
}

TEST(FrameGenerator, ComputesWhatIsStatedInPyTorch) {
  const testing::Golden golden("frame_generator.txt");
  const auto net = make();
  const at::Tensor clips = filled("clips", {3, 3, 5, 30, 30});
  move_to(*net, at::kCPU, at::kDouble);
  testing::fill(*net);
  net->eval();
  EXPECT_LT(golden.error_of(net->forward(clips), "generator.eval"), 1e-12);
  net->train();
  const at::Tensor scores = net->forward(clips);
  EXPECT_LT(golden.error_of(scores, "generator.train"), 1e-11);
  (scores * filled("upstream", scores.sizes())).sum().backward();
  std::map<std::string, at::Tensor> gradients, running;
  for (const auto& item : net->named_parameters()) gradients[item.key()] = item.value().grad();
  golden.expect_summaries(gradients, "generator.gradients", 1e-9, 1e-3);
  commit_statistics(*net);
  for (const auto& item : net->named_buffers())
    if (item.value().is_floating_point()) running[item.key()] = item.value();
  golden.expect_summaries(running, "generator.running", 1e-11, 0);
  // One set of weights serves several passes, each a batch of the norm.
  EXPECT_EQ(net->named_buffers()["block.bn.num_batches_tracked"].item<int64_t>(), 3);
  EXPECT_EQ(net->named_buffers()["refine.bn.num_batches_tracked"].item<int64_t>(), 6);
}

TEST(FrameGenerator, OfThePapersSizeHasTheAuthorsShapes) {
  const auto net = make({.norm = {.kind = "local"}});
  const auto parameters = net->named_parameters();
  const auto shape = [&](const char* name) { return testing::shape_text(parameters[name]); };
  EXPECT_EQ(shape("block.conv.weight"), "96x96x3x3");
  EXPECT_EQ(shape("rate18.weight"), "96x96x3x3");
  EXPECT_EQ(shape("merge.weight"), "96x480x1x1");
  EXPECT_EQ(shape("reduce.conv.weight"), "32x96x3x3");
  EXPECT_EQ(shape("refine.conv.weight"), "32x32x3x3");
  EXPECT_EQ(shape("lstm.weight_ih_l0"), "256x169");
  EXPECT_EQ(shape("lstm.weight_hh_l0_reverse"), "256x64");
  EXPECT_EQ(shape("score.weight"), "32x128");
}

TEST(FrameGenerator, ScoresOfAClipAddUpToOne) {
  for (const int64_t size : {11, 18, 19, 56}) {
    const auto net = make({.frames = 4, .size = size, .hidden = 5, .norm = {.kind = "local"}});
    const at::Tensor scores = net->forward(values({3, 3, 4, size, size}, 0.2, at::kFloat));
    EXPECT_EQ(scores.sizes(), (std::vector<int64_t>{3, 4}));
    EXPECT_TRUE(at::allclose(scores.sum(1), at::ones({3})));
    const int64_t side = (size - 3) / 8;
    EXPECT_EQ(net->named_parameters()["lstm.weight_ih_l0"].size(1), side * side);
  }
}

TEST(FrameGenerator, InitialWeightsAreKeyedAndWithinPyTorchsBounds) {
  const auto net = make(), again = make(), other = make(kSmall, 2);
  for (const auto& item : net->named_parameters()) {
    const std::string& name = item.key();
    EXPECT_TRUE(at::equal(item.value(), again->named_parameters()[name])) << name;
    if (name.find(".bn.") != std::string::npos) continue;
    EXPECT_FALSE(at::equal(item.value(), other->named_parameters()[name])) << name;
    double fan_in = 12;  // of the scores: both directions of the LSTM
    if (name.starts_with("lstm")) fan_in = 6;
    if (item.value().dim() == 4) fan_in = item.value()[0].numel();
    if (item.value().dim() == 1 && (name.starts_with("rate") || name.starts_with("pooled")))
      fan_in = name.starts_with("rate1.") || name.starts_with("pooled") ? 15 : 135;
    if (name == "merge.bias") fan_in = 75;
    const double bound = 1 / std::sqrt(fan_in), largest = item.value().abs().max().item<double>();
    EXPECT_LE(largest, bound) << name;
    EXPECT_GT(largest, 0.6 * bound) << name;
  }
}

TEST(FrameGenerator, NoClipsRunTheWholeGraph) {
  for (const bool bfloat16 : {false, true}) {
    const auto net = make();
    at::Tensor scores;
    {
      const AutocastGuard autocast(at::kCPU, bfloat16);
      scores = net->forward(at::zeros({0, 3, 5, 30, 30}));
    }
    EXPECT_EQ(scores.sizes(), (std::vector<int64_t>{0, 5}));
    scores.sum().backward();
    for (const auto& item : net->named_parameters()) {
      ASSERT_TRUE(item.value().grad().defined()) << item.key();
      EXPECT_EQ(item.value().grad().abs().sum().item<double>(), 0) << item.key();
    }
  }
}

TEST(FrameGenerator, Bfloat16GivesScoresInFloat32) {
  const auto net = make();
  const at::Tensor clips = values({3, 3, 5, 30, 30}, 0.2, at::kFloat);
  const at::Tensor plain = net->forward(clips);
  const AutocastGuard autocast(at::kCPU, true);
  const at::Tensor scores = net->forward(clips);
  EXPECT_EQ(scores.scalar_type(), at::kFloat);
  EXPECT_FALSE(at::equal(scores, plain));
  EXPECT_TRUE(at::allclose(scores, plain, 0.05, 0.005));
  (scores * values({3, 5}, 0.4, at::kFloat)).sum().backward();
  for (const auto& item : net->named_parameters())
    EXPECT_TRUE(at::isfinite(item.value().grad()).all().item<bool>()) << item.key();
}

// The path that VideoMoCo trains it by: a loss of the dropped clip reaches every weight, but for
// the recurrent ones backward in time, whose state is still zero at the frame that is looked at.
TEST(FrameGenerator, LearnsThroughDroppedFrames) {
  const auto net = make();
  move_to(*net, at::kCPU, at::kDouble);
  const at::Tensor clips = values({3, 3, 5, 30, 30}, 0.2, at::kDouble);
  const at::Tensor dropped = drop_frames(clips, net->forward(clips), 1);
  (dropped * values(dropped.sizes(), 0.9, at::kDouble)).sum().backward();
  for (const auto& item : net->named_parameters())
    EXPECT_EQ(item.value().grad().abs().max().item<double>() > 0,
              item.key() != "lstm.weight_hh_l0_reverse")
        << item.key();
}

TEST(FrameGenerator, RefusesFramesThatAreTooSmallOrOthers) {
  try {
    make({.frames = 4, .size = 10, .norm = {.kind = "local"}});
    FAIL() << "10 pixels were taken";
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    EXPECT_NE(text.find("frames of 10 pixels are too small"), std::string::npos) << text;
    EXPECT_NE(text.find("at least 11"), std::string::npos) << text;
  }
  EXPECT_THROW(make({.frames = 0, .size = 16}), c10::Error);
  const auto net = make();
  EXPECT_THROW(net->forward(at::zeros({2, 3, 4, 30, 30})), c10::Error);
  EXPECT_THROW(net->forward(at::zeros({2, 3, 5, 30, 32})), c10::Error);
}

/// Hochreiter and Schmidhuber's cell with forget gates, one step after the other; gates in torch's
/// order: input, forget, cell, output.
std::vector<at::Tensor> lstm_by_steps(const at::Tensor& x, const BidirectionalLstm& lstm,
                                      const std::string& suffix, bool reverse) {
  const auto weights = lstm.named_parameters();
  const int64_t steps = x.size(1), hidden = weights["weight_hh" + suffix].size(1);
  at::Tensor h = at::zeros({x.size(0), hidden}, x.options()), c = h;
  std::vector<at::Tensor> outputs(steps);
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t step = reverse ? steps - 1 - i : i;
    const at::Tensor gates = at::matmul(x.select(1, step), weights["weight_ih" + suffix].t()) +
                             weights["bias_ih" + suffix] +
                             at::matmul(h, weights["weight_hh" + suffix].t()) +
                             weights["bias_hh" + suffix];
    const auto gate = gates.chunk(4, 1);
    c = at::sigmoid(gate[1]) * c + at::sigmoid(gate[0]) * at::tanh(gate[2]);
    h = at::sigmoid(gate[3]) * at::tanh(c);
    outputs[step] = h;
  }
  return outputs;
}

TEST(BidirectionalLstm, IsTheFormula) {
  BidirectionalLstm lstm(7, 3);
  lstm.initialize(1, "lstm");
  move_to(lstm, at::kCPU, at::kDouble);
  const at::Tensor x = values({2, 4, 7}, 0.3, at::kDouble).requires_grad_();
  const at::Tensor expected = at::cat({at::stack(lstm_by_steps(x, lstm, "_l0", false), 1),
                                       at::stack(lstm_by_steps(x, lstm, "_l0_reverse", true), 1)},
                                      2);
  const at::Tensor upstream = values(expected.sizes(), 0.8, at::kDouble);
  const auto gradients_of = [&](const at::Tensor& y) {
    lstm.zero_grad();
    x.mutable_grad().reset();
    (y * upstream).sum().backward();
    std::vector<at::Tensor> all{x.grad().clone()};
    for (const at::Tensor& parameter : lstm.parameters()) all.push_back(parameter.grad().clone());
    return all;
  };
  const at::Tensor found = lstm.forward(x);
  EXPECT_TRUE(at::allclose(found, expected, 0, 1e-14));
  const auto a = gradients_of(found), b = gradients_of(expected);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(at::allclose(a[i], b[i], 0, 1e-13)) << i;
  EXPECT_EQ(a.size(), 9u);
}

}  // namespace
}  // namespace cltrain
