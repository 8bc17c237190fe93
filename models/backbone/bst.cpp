#include "models/backbone/bst.h"

#include "models/backbone/yaml_options.h"
#include "models/nets/layers.h"
#include "ops/dropout.h"
#include "ops/initial_weights.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

namespace cltrain {
namespace {

constexpr double kEpsilon = 1e-12;
constexpr uint32_t kSitesOfLayer = 3;
/// What is added to the scores of slots that are no steps; their weight is then exactly 0, unless
/// all slots of a row have it.
constexpr double kOutOfSight = -1e4;

at::Tensor dropped(const at::Tensor& x, double probability, const LayerCall& call, uint32_t site) {
  if (!call.draws.training || probability == 0) return x;
  // Under autocast products are bfloat16, which the kernels do not take.
  const at::Tensor wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  return keyed_dropout(wide, call.draws.sample_ids, probability, call.draws.dropout, call.call,
                       call.first_site + site);
}

}  // namespace

class BstEncoderLayer : public torch::nn::Module {
 public:
  explicit BstEncoderLayer(const BstSettings& settings)
      : settings_(settings),
        query_(linear("query", settings.hidden_size, settings.hidden_size)),
        // A bias of keys would add the same to all scores of a query, which softmax takes out.
        key_(linear("key", settings.hidden_size, settings.hidden_size, false)),
        value_(linear("value", settings.hidden_size, settings.hidden_size)),
        dense_(linear("dense", settings.hidden_size, settings.hidden_size)),
        inner_(linear("inner", settings.hidden_size, settings.intermediate_size)),
        out_(linear("out", settings.intermediate_size, settings.hidden_size)),
        attention_norm_(norm("attention_norm")),
        out_norm_(norm("out_norm")) {}

  /// x [b, L, H], mask [b, 1, 1, L] to be added to the scores; takes kSitesOfLayer sites.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& mask, const LayerCall& call,
                     uint32_t site) const {
    const int64_t heads = settings_.num_attention_heads, width = settings_.hidden_size / heads;
    const int64_t rows = x.size(0), slots = x.size(1);
    const auto by_heads = [&](const std::shared_ptr<Linear>& layer) {
      return layer->forward(x).view({rows, slots, heads, width}).transpose(1, 2);
    };  // [b, heads, L, width]
    const at::Tensor scores = at::matmul(by_heads(query_), by_heads(key_).transpose(2, 3)) /
                                  std::sqrt(static_cast<double>(width)) +
                              mask;
    const at::Tensor weights =
        dropped(at::softmax(scores, -1), settings_.attention_probs_dropout_prob, call, site);
    const at::Tensor context =
        at::matmul(weights, by_heads(value_)).transpose(1, 2).reshape(x.sizes());
    const double p = settings_.hidden_dropout_prob;
    const at::Tensor y =
        attention_norm_->forward(x + dropped(dense_->forward(context), p, call, site + 1));
    const at::Tensor inner = inner_->forward(y);
    const at::Tensor active = settings_.hidden_act == "gelu" ? at::gelu(inner) : at::relu(inner);
    return out_norm_->forward(y + dropped(out_->forward(active), p, call, site + 2));
  }

 private:
  std::shared_ptr<Linear> linear(const char* name, int64_t in, int64_t out, bool bias = true) {
    return register_module(name, std::make_shared<Linear>(in, out, bias));
  }
  std::shared_ptr<LayerNorm> norm(const char* name) {
    return register_module(name, std::make_shared<LayerNorm>(settings_.hidden_size, kEpsilon));
  }

  BstSettings settings_;
  std::shared_ptr<Linear> query_, key_, value_, dense_, inner_, out_;
  std::shared_ptr<LayerNorm> attention_norm_, out_norm_;
};

Bst::Bst(const YamlNode& options, Mistakes& mistakes) {
  OptionTable table;
  BstSettings& s = settings_;
  table.add("hidden_size", s.hidden_size, {.doc = "width", .min = 1, .max = 1 << 16});
  table.add("num_hidden_layers", s.num_hidden_layers, {.doc = "layers", .min = 0, .max = 256});
  table.add("num_attention_heads", s.num_attention_heads,
            {.doc = "they share hidden_size", .min = 1, .max = 1024});
  table.add("intermediate_size", s.intermediate_size,
            {.doc = "inner width of a layer", .min = 1, .max = 1 << 18});
  table.add("hidden_act", s.hidden_act, {.doc = "there", .choices = {"gelu", "relu"}});
  table.add("hidden_dropout_prob", s.hidden_dropout_prob,
            {.doc = "share of values dropped", .min = 0, .max = 0.999});
  table.add("attention_probs_dropout_prob", s.attention_probs_dropout_prob,
            {.doc = "share of attention weights dropped", .min = 0, .max = 0.999});
  table.add("max_position_embeddings", s.max_position_embeddings,
            {.doc = "most steps", .min = 1, .max = 1 << 20});
  table.add("use_position_embeddings", s.use_position_embeddings, {.doc = "learn positions"});
  table.add("initializer_range", s.initializer_range,
            {.doc = "standard deviation of first weights", .min = 0, .above_min = true});
  table.add("output_all_token_embeddings", s.output_all_token_embeddings,
            {.doc = "every slot, as a sequence; false: one"});
  table.add("target_item_position", s.target_item_position,
            {.doc = "where the target item stands", .choices = {"head", "tail", "ignore"}});
  table.add("reserve_target_position", s.reserve_target_position,
            {.doc = "keep its position free where there is none"});
  read_options(options, "BST", table,
               {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"},
               mistakes);
  if (s.hidden_size % s.num_attention_heads != 0)
    mistakes.add(options.place, "hidden_size",
                 std::to_string(s.hidden_size) + " cannot be shared by " +
                     std::to_string(s.num_attention_heads) + " heads alike; take a multiple");
}

uint32_t Bst::sites() const {
  return 1 + kSitesOfLayer * static_cast<uint32_t>(settings_.num_hidden_layers);
}

bool Bst::takes_target(const BlockValue& input) const {
  return input.features.defined() && settings_.target_item_position != "ignore";
}

void Bst::build(const std::vector<BlockValue>& inputs) {
  if (inputs.size() != 1 || !inputs[0].sequence.defined())
    throw ConfigError(
        "BST takes one sequence, as an input_layer with "
        "output_seq_and_normal_feature: true, or SeqAugment, gives it");
  const BlockValue& input = inputs[0];
  const int64_t width = input.sequence.size(2), hidden = settings_.hidden_size;
  if (input.sequence.size(1) > settings_.max_position_embeddings)
    throw ConfigError("sequences have " + std::to_string(input.sequence.size(1)) +
                      " steps (data.max_length), more than max_position_embeddings=" +
                      std::to_string(settings_.max_position_embeddings) + "; change one of them");
  if (width_ > 0) check_width(width_, width);
  width_ = width;
  if (width != hidden && !steps_)
    steps_ = register_module("steps", std::make_shared<Linear>(width, hidden));
  if (takes_target(input) && target_) check_width(target_->weight.size(1), input.features.size(1));
  if (takes_target(input) && input.features.size(1) != hidden && !target_)
    target_ = register_module("target", std::make_shared<Linear>(input.features.size(1), hidden));
  if (norm_) return;
  if (settings_.use_position_embeddings)
    positions_ = register_parameter("positions", at::zeros({input.sequence.size(1) + 1, hidden}));
  build_layers();
}

void Bst::build_layers() {
  norm_ = register_module("norm", std::make_shared<LayerNorm>(settings_.hidden_size, kEpsilon));
  for (int64_t i = 0; i < settings_.num_hidden_layers; ++i)
    layers_.push_back(
        register_module("layer" + std::to_string(i), std::make_shared<BstEncoderLayer>(settings_)));
}

void Bst::initialize_weights(uint64_t seed, const std::string& prefix) {
  for (const auto& item : named_modules(prefix))
    if (auto* linear = item.value()->as<Linear>())
      fill_normal(linear->weight, settings_.initializer_range, seed, item.key() + ".weight");
  if (positions_.defined())
    fill_normal(positions_, settings_.initializer_range, seed, prefix + ".positions");
}

at::Tensor Bst::embedded(const BlockValue& input, const LayerCall& call) const {
  at::Tensor x = steps_ ? at::relu(steps_->forward(input.sequence)) : input.sequence;
  const bool with_target = takes_target(input);
  if (with_target) {
    const at::Tensor target =
        (target_ ? at::relu(target_->forward(input.features)) : input.features).unsqueeze(1);
    x = at_head() ? at::cat({target, x}, 1) : at::cat({x, target}, 1);
  }
  if (positions_.defined()) {
    const bool reserved = !with_target && at_head() && settings_.reserve_target_position;
    x = x + positions_.narrow(0, reserved ? 1 : 0, x.size(1));
  }
  return dropped(norm_->forward(x), settings_.hidden_dropout_prob, call, 0);
}

/// [b, slots]: what attention looks at.
at::Tensor Bst::attended(const BlockValue& input) const {
  const int64_t rows = input.sequence.size(0), steps = input.sequence.size(1);
  const at::Tensor seen =
      at::arange(steps, input.lengths.options()).unsqueeze(0) < input.lengths.unsqueeze(1);
  if (!takes_target(input)) return seen;
  const at::Tensor target = at::ones({rows, 1}, seen.options());
  return at_head() ? at::cat({target, seen}, 1) : at::cat({seen, target}, 1);
}

BlockValue Bst::forward(const std::vector<BlockValue>& inputs, const LayerCall& call) {
  const BlockValue& input = inputs[0];
  at::Tensor x = embedded(input, call);
  const at::Tensor mask = at::zeros({x.size(0), 1, 1, x.size(1)}, x.options())
                              .masked_fill(~attended(input).unsqueeze(1).unsqueeze(1), kOutOfSight);
  uint32_t site = 1;
  for (const auto& layer : layers_) {
    x = layer->forward(x, mask, call, site);
    site += kSitesOfLayer;
  }
  if (!settings_.output_all_token_embeddings)
    return {.features = x.select(1, settings_.target_item_position == "tail" ? x.size(1) - 1 : 0)};
  const bool with_target = takes_target(input);
  if (with_target && !at_head())  // behind the padding: lengths would not reach it
    return {.features = x.select(1, x.size(1) - 1),
            .sequence = x.narrow(1, 0, x.size(1) - 1),
            .lengths = input.lengths};
  return {.sequence = x, .lengths = with_target ? input.lengths + 1 : input.lengths};
}

}  // namespace cltrain
